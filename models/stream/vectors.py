"""Vectors of binary64 for Numba's kernels, for loops that LLVM does not vectorize well enough.

An operation acts on every lane, with one rounding each: lanes never meet, and nothing is fused or
reassociated, whatever registers a CPU has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import intrinsic, register_model

Matrix = npt.NDArray[np.float64]

LANES = 8  # a cache line
ITEM_BYTES = 8  # the only alignment assumed
VECTOR = ir.VectorType(ir.DoubleType(), LANES)
MASK = ir.VectorType(ir.IntType(32), LANES)


class Vector(types.Type):
    """LANES binary64 values side by side, which LLVM maps to the widest registers available."""

    def __init__(self) -> None:
        super().__init__(name=f"Vector({LANES})")


@register_model(Vector)
class VectorModel(PrimitiveModel):
    def __init__(self, manager: Any, vector: Any) -> None:
        super().__init__(manager, vector, VECTOR)  # type: ignore[no-untyped-call]


vector = Vector()


def _address(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    index = [
        context.cast(builder, value, kind, types.intp)
        for value, kind in zip(arguments[1:3], signature.args[1:3], strict=True)
    ]
    item = cgutils.get_item_pointer(context, builder, signature.args[0], array, index)
    return builder.bitcast(item, VECTOR.as_pointer())


def _load(_typing: Any, a: Any, row: Any, column: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, signature, arguments), align=ITEM_BYTES)

    return vector(a, row, column), generate


def _store(_typing: Any, a: Any, row: Any, column: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature, arguments)
        builder.store(arguments[3], address, align=ITEM_BYTES)
        return context.get_dummy_value()

    return types.none(a, row, column, x), generate


def _multiplied(operation: str) -> Any:
    """Return an intrinsic that adds a scalar times a vector to an accumulator, or subtracts it."""

    def typed(_typing: Any, accumulator: Any, scalar: Any, x: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            total, factor, values = arguments
            undefined, zero = ir.Constant(VECTOR, ir.Undefined), ir.Constant(ir.IntType(32), 0)
            one = builder.insert_element(undefined, factor, zero)
            splat = builder.shuffle_vector(one, undefined, ir.Constant(MASK, [0] * LANES))
            return getattr(builder, operation)(total, builder.fmul(splat, values))

        return vector(accumulator, types.float64, x), generate

    return intrinsic(typed)


load = cast(Callable[[Matrix, int, int], Any], intrinsic(_load))  # a[row, column:][:LANES]
store = cast(Callable[[Matrix, int, int, Any], None], intrinsic(_store))
plus = cast(Callable[[Any, float, Any], Any], _multiplied("fadd"))  # total + scalar * vector
minus = cast(Callable[[Any, float, Any], Any], _multiplied("fsub"))  # total - scalar * vector
