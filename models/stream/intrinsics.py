"""Two LLVM features that Numba does not expose. Neither can change a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _full_width(_typing: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), generate


def _prefetch(_typing: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        place = cgutils.get_item_pointer(
            *(context, builder, kind, context.make_array(kind)(context, builder, arguments[0])),
            [arguments[1]],
        )
        byte, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32]),
            "llvm.prefetch.p0",
        )
        read, level_2, data = i32(0), i32(2), i32(1)
        builder.call(function, [builder.bitcast(place, byte), read, level_2, data])
        return context.get_dummy_value()

    return types.none(array, index), generate


# Calling it in a function lets LLVM use 512-bit vectors there. By default LLVM uses 256 bits on
# Intel's AVX-512 cores, at half the speed here. llvmlite does not list the attribute, hence
# `set.add`.
full_width = cast(Callable[[], None], intrinsic(_full_width))

# Fetches the cache line of array[index] into the second-level cache while work continues.
prefetch = cast(Callable[[npt.NDArray[Any], int], None], intrinsic(_prefetch))
