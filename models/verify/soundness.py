"""Checks that an untrusted plan must pass before it is evaluated.

Seedpoint's own plans pass them all. Without the checks, a plan could make an evaluator fail
half-way or take unbounded memory; a plan that fails them is refused with its fault.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch

from seedpoint.models.draws import Draw
from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.files.layout import MAX_FILE_BYTES
from seedpoint.models.plan.plan import STREAM, Plan, PlanTensor
from seedpoint.models.plan.program import (
    Add,
    Base,
    Clamp,
    ClampRegion,
    Constant,
    Copy,
    Dirac,
    Divide,
    Eye,
    FillRegion,
    Formula,
    Function,
    HardThreshold,
    Literal,
    Materialized,
    Norms,
    Orthogonal,
    Plus,
    Pointwise,
    Program,
    Scale,
    SetElement,
    SingularVector,
    Sparse,
    Split,
    Sum,
    ZeroRows,
)
from seedpoint.models.stream.cost import MAX_NORMED_ELEMENTS, MAX_POWER_PRODUCTS
from seedpoint.models.verify.header import MAX_DIMENSIONS, shown

Shape = tuple[int, ...]

MAX_SEED = 2**64 - 1
# nesting limit of splits, norms and `plus` transforms
MAX_NESTED_SPLITS = 16
# largest step of a region, and bound of rule numbers
MAX_STEP = 2**53
MAX_CHECKS = 20_000_000  # about ten seconds
_FILE = re.compile(r"[a-z0-9_][a-z0-9_.]{0,99}\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_plan(plan: Plan) -> None:
    """Check that a plan can be evaluated within bounds.

    Raises:
        ValueError: The plan cannot be evaluated, or not within bounds.
    """
    _require(plan.stream == STREAM, f"stream {shown(plan.stream)} is not {STREAM}")
    _require(0 <= plan.seed <= MAX_SEED, "its seed is beyond 64 bits")
    _require(plan.ties in ("once", "each"), f"ties {shown(plan.ties)} are not once or each")
    _require(plan.max_shard_size >= 1, "its max_shard_size is below one byte")
    sequential = plan.generator in ("torch", "numpy")
    _require(
        sequential or plan.generator == "philox-v1",
        f"generator {shown(plan.generator)} is not philox-v1, torch or numpy",
    )
    _require(
        isinstance(plan.platform, dict) if sequential else plan.platform is None,
        f"a plan of generator {plan.generator} {'needs a' if sequential else 'has no'} platform",
    )
    _require(isinstance(plan.spec, dict), "its spec is not an object")
    _require(
        isinstance(plan.files, dict)
        and all(map(_is_file_name, plan.files))
        and all(isinstance(text, str) for text in plan.files.values()),
        "its files are not an object of texts by file name",
    )
    _require(_checks(plan) <= MAX_CHECKS, "its programs are too long for its number of tensors")
    for tensor in plan.tensors:
        try:
            _check_tensor(tensor, sequential)
        except ValueError as error:
            raise ValueError(f"{shown(tensor.name)}: {error}") from None


def _checks(plan: Plan) -> int:
    """Estimate the number of checks: programs are shared, and may be long."""
    programs = {id(tensor.program): tensor.program for tensor in plan.tensors}
    sizes = {key: _size(program) for key, program in programs.items()}
    return sum(sizes[id(tensor.program)] for tensor in plan.tensors)


def _size(program: Program) -> int:
    size = 1 + _steps(program.transforms)
    if isinstance(program.source, Norms | Copy) and isinstance(program.source.of, Program):
        size += _size(program.source.of)
    if isinstance(program.source, Sum):
        size += sum(map(_size, program.source.terms))
    if isinstance(program.source, SingularVector):
        programs = (program.source.of, program.source.start)
        size += sum(_size(each) for each in programs if isinstance(each, Program))
    if isinstance(program.source, Split):
        size += sum(_size(part.program) for part in program.source.parts)
        if isinstance(program.source.base, Program):
            size += _size(program.source.base)
    return size


def _steps(transforms: Sequence[Any], depth: int = 0) -> int:
    """Count transforms, with the rows of some and the steps inside others."""
    steps = len(transforms)
    for transform in transforms:
        if isinstance(transform, ZeroRows) and isinstance(transform.rows, tuple):
            steps += len(transform.rows)
        if isinstance(transform, Plus) and depth < MAX_NESTED_SPLITS:
            steps += _steps(transform.transforms, depth + 1)
    return steps


def _check_tensor(tensor: PlanTensor, sequential: bool) -> None:
    names = (tensor.name, *tensor.aliases)
    _require(all(isinstance(name, str) for name in names), "its names are not all strings")
    _require(
        all(_is_index(size, MAX_FILE_BYTES + 1) for size in tensor.shape)
        and len(tensor.shape) <= MAX_DIMENSIONS,
        f"{shown(tensor.shape)} is not a shape",
    )
    fault = tensor.dtype.shape_fault(tensor.shape)
    _require(fault is None, str(fault))
    source = tensor.program.source
    _require(
        isinstance(source, Materialized) == sequential,
        f"{shown(source)} is not a program of its generator",
    )
    if isinstance(source, Materialized):
        _require(
            isinstance(source.rules, tuple) and all(_is_index(n, MAX_STEP) for n in source.rules),
            f"{shown(source.rules)} are not rules",
        )
    else:
        check_program(tensor.program, tensor.shape, tensor.dtype)


def check_program(program: Program, shape: Shape, dtype: DType) -> None:
    """Check that `program` can fill a tensor of `shape` and `dtype`.

    Raises:
        ValueError: It cannot.
    """
    exact = dtype.name == "float64" and not program.draws
    floating = torch.float64 if exact else torch.float32
    _Check(floating if dtype.is_floating else dtype.torch).program(program, shape, 0)


class _Check:
    """Checker of programs whose values are computed in `dtype`."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def program(self, program: Program, shape: Shape, depth: int) -> None:
        self._source(program.source, shape, depth)
        for transform in program.transforms:
            self._transform(transform, shape)

    def _source(self, source: Any, shape: Shape, depth: int) -> None:
        match source:
            case Constant(value=value):
                self._takes(value, lambda probe: probe.fill_(value))
            case Literal(sha256=sha256, dtype=name):
                _require(
                    isinstance(sha256, str) and _SHA256.fullmatch(sha256) is not None,
                    f"{shown(sha256)} is not a SHA-256",
                )
                _require(isinstance(name, str) and name in BY_NAME, f"{shown(name)} is not a dtype")
                _require(BY_NAME[name].per_item == 1, f"{name} is not a dtype of literals")
                _require(
                    self.dtype.is_complex or not BY_NAME[name].torch.is_complex,
                    "a complex literal cannot fill it",
                )
            case Draw():
                self._draw(source)
            case Orthogonal(gain=gain):
                self._draw(source)
                _require(_is_number(gain), f"{shown(gain)} is not a gain")
                _require(len(shape) >= 2, "orthogonal needs two dimensions")
                _require(source.layout in ("out_in", "in_out"), "its layout is unknown")
            case Sparse(sparsity=sparsity):
                self._draw(source)
                _require(_is_number(sparsity) and 0 <= sparsity <= 1, "its sparsity is not in 0..1")
                _require(len(shape) == 2, "sparse needs two dimensions")
            case Eye():
                _require(len(shape) == 2, "eye needs two dimensions")
            case Formula():
                self._formula(source, shape)
            case Dirac(groups=groups):
                _require(len(shape) in (3, 4, 5), "dirac needs three, four or five dimensions")
                _require(
                    type(groups) is int and groups > 0 and shape[0] % groups == 0,
                    f"{shown(groups)} groups do not divide {shape[0]}",
                )
            case _:
                self._combined(source, shape, depth)

    def _combined(self, source: Any, shape: Shape, depth: int) -> None:
        match source:
            case Split():
                self._split(source, shape, depth)
            case Sum(terms=terms):
                _require(bool(terms) and depth < MAX_NESTED_SPLITS, "sums nest too deep")
                for term in terms:
                    self.program(term, shape, depth + 1)
            case Copy():
                self._copy(source, shape, depth)
            case Norms():
                self._norms(source, shape, depth)
            case SingularVector():
                self._singular_vector(source, shape, depth)
            case _:
                raise ValueError(f"{shown(source)} is not a source")

    def _formula(self, formula: Formula, shape: Shape) -> None:
        _require(not self.dtype.is_complex, f"{formula.type} cannot fill a complex tensor")
        try:
            formula.check(shape, floating=self.dtype.is_floating_point)
        except (TypeError, AttributeError, OverflowError):
            raise ValueError(f"{shown(formula)} has arguments of wrong types") from None

    def _copy(self, copy: Copy, shape: Shape, depth: int) -> None:
        of, strides = copy.shape, copy.strides
        _require(depth < MAX_NESTED_SPLITS, "copies nest too deep")
        _require(isinstance(copy.name, str), "the copied tensor has no name")
        _require(
            len(of) <= MAX_DIMENSIONS and all(_is_index(size, MAX_FILE_BYTES + 1) for size in of),
            f"{shown(of)} is not a shape",
        )
        _require(
            len(strides) == len(shape)
            and all(_is_index(step, MAX_FILE_BYTES) for step in (*strides, copy.offset)),
            f"{shown(strides)} are not strides of shape {shown(shape)}",
        )
        last = copy.offset + sum(
            (size - 1) * step for size, step in zip(shape, strides, strict=True)
        )
        _require(not math.prod(shape) or last < math.prod(of), "the copy is larger than its tensor")
        self.program(copy.of, of, depth + 1)

    def _norms(self, norms: Norms, shape: Shape, depth: int) -> None:
        of = norms.shape
        _require(self.dtype.is_floating_point, "norms need a floating tensor")
        _require(depth < MAX_NESTED_SPLITS, "programs nest too deep")
        _require(
            isinstance(of, tuple)
            and len(of) == 2
            and all(_is_index(size, MAX_FILE_BYTES + 1) for size in of)
            and math.prod(of) <= MAX_NORMED_ELEMENTS,
            f"{shown(of)} is not the shape of a matrix",
        )
        _require(
            type(norms.axis) is int and norms.axis in (0, 1) and of[norms.axis] == math.prod(shape),
            f"{shown(norms.axis)} is not an axis with one norm for each element",
        )
        _require(isinstance(norms.of, Program), "the norms have no program")
        self.program(norms.of, of, depth + 1)

    def _singular_vector(self, vector: SingularVector, shape: Shape, depth: int) -> None:
        of = vector.shape
        _require(self.dtype.is_floating_point, "a singular vector needs a floating tensor")
        _require(depth < MAX_NESTED_SPLITS, "programs nest too deep")
        _require(
            isinstance(of, tuple)
            and len(of) == 2
            and all(_is_index(size, MAX_FILE_BYTES + 1) and size > 0 for size in of),
            f"{shown(of)} is not the shape of a matrix",
        )
        _require(
            _is_index(vector.iterations, MAX_POWER_PRODUCTS + 1)
            and vector.iterations > 0
            and math.prod(of) * vector.iterations <= MAX_POWER_PRODUCTS,
            f"{shown(vector.iterations)} iterations are not allowed",
        )
        _require(_is_number(vector.eps), f"{shown(vector.eps)} is not a number")
        _require(
            type(vector.axis) is int
            and vector.axis in (0, 1)
            and of[vector.axis] == math.prod(shape),
            f"{shown(vector.axis)} is not an axis with one element for each of the vector",
        )
        programs = (vector.of, vector.start)
        _require(all(isinstance(p, Program) for p in programs), "the vector has no program")
        self.program(vector.of, of, depth + 1)
        self.program(vector.start, (of[1],), depth + 1)

    def _split(self, split: Split, shape: Shape, depth: int) -> None:
        sizes = [part.size for part in split.parts]
        _require(depth < MAX_NESTED_SPLITS, "splits nest too deep")
        _require(_is_index(split.axis, len(shape)), f"{shown(split.axis)} is not an axis to split")
        width, repeat = shape[split.axis], split.repeat
        _require(
            _is_index(repeat, width + 1) and (repeat > 0 or not width),
            f"{shown(repeat)} is not a number of repetitions",
        )
        _require(
            all(_is_index(size, width + 1) and size > 0 for size in sizes)
            and sum(sizes) * repeat == width,
            f"parts of {shown(sizes)} do not sum to {width}",
        )
        _require(split.stream is None or isinstance(split.stream, str), "its stream is not a name")
        _require(type(split.squeeze) is bool, "its squeeze is not a boolean")
        _require(not split.squeeze or set(sizes) == {1}, "parts without the axis have not size 1")
        if split.base is not None:
            _require(isinstance(split.base, Program), "the base has no program")
            self.program(split.base, shape, depth + 1)
        for part in split.parts:
            inner = split.shape_of(part, shape)
            if isinstance(part.program.source, Base):
                _require(split.base is not None, "a part keeps elements of a base that is missing")
                for transform in part.program.transforms:
                    self._transform(transform, inner)
            else:
                self.program(part.program, inner, depth + 1)

    def _draw(self, source: Draw | Orthogonal | Sparse) -> None:
        _require(self.dtype.is_floating_point, f"{source.type} needs a floating tensor")
        _require(_is_index(source.draw, 2**32 - 1), f"{shown(source.draw)} is not a draw")
        _require(
            source.stream is None or isinstance(source.stream, str), "its stream is not a name"
        )
        if not isinstance(source, Orthogonal):
            _require(
                isinstance(source.f32, tuple)
                and len(source.f32) == source.constants
                and all(map(_is_number, source.f32)),
                f"{shown(source.f32)} are not the constants of {source.type}",
            )

    def _transform(self, transform: Any, shape: Shape, depth: int = 0) -> None:
        match transform:
            case Scale(value=value) | Add(value=value) | HardThreshold(value=value):
                self._arithmetic(transform.type, value)
            case Divide(value=value):
                self._arithmetic("divide", value)
            case _ if isinstance(transform, Function):
                self._arithmetic(transform.type)
            case Plus(transforms=inner):
                _require(depth < MAX_NESTED_SPLITS, "transforms nest too deep")
                for each in inner:
                    _require(
                        isinstance(each, Pointwise), f"{shown(each)} does not act on one element"
                    )
                    self._transform(each, shape, depth + 1)
            case Clamp(min=low, max=high):
                bounds = [bound for bound in (low, high) if bound is not None]
                _require(bool(bounds), "clamp has no bound")
                self._arithmetic("clamp", *bounds)
            case ZeroRows(rows=rows):
                _require(
                    bool(shape) and isinstance(rows, tuple) and _are_ascending(rows, shape[0]),
                    f"{shown(rows)} are not rows of shape {shown(shape)}",
                )
            case SetElement(index=index, value=value):
                self._set(value)
                _require(
                    isinstance(index, tuple)
                    and len(index) == len(shape)
                    and all(map(_is_index, index, shape)),
                    f"{shown(index)} is not an element of shape {shown(shape)}",
                )
            case FillRegion(region=region, value=value):
                self._set(value)
                self._region(region, shape)
            case ClampRegion(region=region, min=low, max=high):
                self._transform(Clamp(low, high), shape)
                self._region(region, shape)
            case _:
                raise ValueError(f"{shown(transform)} is not a transform")

    def _region(self, region: Any, shape: Shape) -> None:
        _require(
            isinstance(region, tuple)
            and len(region) == len(shape)
            and all(map(_is_stretch, region, shape)),
            f"{shown(region)} is not a region of shape {shown(shape)}",
        )

    def _arithmetic(self, kind: str, *values: Any) -> None:
        _require(self.dtype.is_floating_point, f"{kind} needs a floating tensor")
        _require(all(map(_is_number, values)), f"{shown(values)} are not arguments of {kind}")

    def _set(self, value: Any) -> None:
        self._takes(value, lambda probe: probe.__setitem__(slice(0, 1), value))

    def _takes(self, value: Any, put: Callable[[torch.Tensor], object]) -> None:
        """Check that torch can put `value` into a tensor.

        Raises:
            ValueError: It cannot.
        """
        try:
            put(torch.empty(1, dtype=self.dtype))
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise ValueError(f"{shown(value)} is not a value of {self.dtype}") from None


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise ValueError(fault)


def _is_index(value: Any, size: int) -> bool:
    """Return whether `value` is an integer in [0, size)."""
    return type(value) is int and 0 <= value < size


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) <= MAX_FILE_BYTES)


def _is_file_name(value: Any) -> bool:
    """Return whether `value` names a JSON file beside the tensors that is not an index of them."""
    plain = isinstance(value, str) and _FILE.fullmatch(value) is not None
    return plain and not value.endswith(".index.json")


def _are_ascending(rows: Sequence[Any], size: int) -> bool:
    """Return whether `rows` are distinct integers in [0, size), in ascending order."""
    if not all(_is_index(row, size) for row in rows):
        return False
    return all(rows[i] < rows[i + 1] for i in range(len(rows) - 1))


def _is_stretch(stretch: Any, size: int) -> bool:
    """Return whether `stretch` is (start, stop, step) within [0, size]."""
    if not isinstance(stretch, tuple) or len(stretch) != 3:
        return False
    start, stop, step = stretch
    return (
        _is_index(start, size + 1)
        and _is_index(stop, size + 1)
        and start <= stop
        and type(step) is int
        and 1 <= step <= MAX_STEP
    )
