"""Checks that an untrusted plan must pass before it is evaluated.

Seedpoint's own plans pass them all. Without the checks, a plan could make an evaluator fail
half-way or take unbounded memory; a plan that fails them is refused with its fault.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch

from seedpoint.models.draws import Draw
from seedpoint.models.dtypes import BY_NAME, BY_TORCH, DType
from seedpoint.models.files.layout import MAX_FILE_BYTES
from seedpoint.models.plan.plan import STREAM, Plan, PlanTensor
from seedpoint.models.plan.program import (
    Base,
    Blob,
    Constant,
    Copy,
    Dirac,
    Eye,
    Formula,
    Literal,
    Materialized,
    Norms,
    Orthogonal,
    Plus,
    Program,
    SingularVector,
    Sparse,
    Split,
    Sum,
    ZeroRows,
)
from seedpoint.models.stream.cost import MAX_NORMED_ELEMENTS, MAX_POWER_PRODUCTS
from seedpoint.models.verify.header import MAX_DIMENSIONS, shown
from seedpoint.models.verify.requirements import (
    MAX_NESTED,
    MAX_STEP,
    is_index,
    is_number,
    require,
    require_value,
)
from seedpoint.models.verify.transform_soundness import check_transform

Shape = tuple[int, ...]

MAX_SEED = 2**64 - 1
MAX_CHECKS = 20_000_000  # about ten seconds
_FILE = re.compile(r"[a-z0-9_][a-z0-9_.]{0,99}\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_plan(plan: Plan) -> None:
    """Check that a plan can be evaluated within bounds.

    Raises:
        ValueError: The plan cannot be evaluated, or not within bounds.
    """
    require(plan.stream == STREAM, f"stream {shown(plan.stream)} is not {STREAM}")
    require(0 <= plan.seed <= MAX_SEED, "its seed is beyond 64 bits")
    require(plan.ties in ("once", "each"), f"ties {shown(plan.ties)} are not once or each")
    require(plan.max_shard_size >= 1, "its max_shard_size is below one byte")
    sequential = plan.generator in ("torch", "numpy")
    require(
        sequential or plan.generator == "philox-v1",
        f"generator {shown(plan.generator)} is not philox-v1, torch or numpy",
    )
    require(
        isinstance(plan.platform, dict) if sequential else plan.platform is None,
        f"a plan of generator {plan.generator} {'needs a' if sequential else 'has no'} platform",
    )
    require(isinstance(plan.spec, dict), "its spec is not an object")
    require(
        isinstance(plan.files, dict)
        and all(map(_is_file_name, plan.files))
        and all(isinstance(text, str) for text in plan.files.values()),
        "its files are not an object of texts by file name",
    )
    require(_checks(plan) <= MAX_CHECKS, "its programs are too long for its number of tensors")
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
        if isinstance(transform, Plus) and depth < MAX_NESTED:
            steps += _steps(transform.transforms, depth + 1)
    return steps


def _check_tensor(tensor: PlanTensor, sequential: bool) -> None:
    names = (tensor.name, *tensor.aliases)
    require(all(isinstance(name, str) for name in names), "its names are not all strings")
    require(
        all(is_index(size, MAX_FILE_BYTES + 1) for size in tensor.shape)
        and len(tensor.shape) <= MAX_DIMENSIONS,
        f"{shown(tensor.shape)} is not a shape",
    )
    fault = tensor.dtype.shape_fault(tensor.shape)
    require(fault is None, str(fault))
    source = tensor.program.source
    require(
        isinstance(source, Materialized) == sequential,
        f"{shown(source)} is not a program of its generator",
    )
    if isinstance(source, Materialized):
        require(
            isinstance(source.rules, tuple) and all(is_index(n, MAX_STEP) for n in source.rules),
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
            check_transform(transform, shape, self.dtype)

    def _source(self, source: Any, shape: Shape, depth: int) -> None:
        match source:
            case Constant(value=value):
                require_value(value, self.dtype, lambda probe: probe.fill_(value))
            case Literal(sha256=sha256, dtype=name):
                require(
                    isinstance(sha256, str) and _SHA256.fullmatch(sha256) is not None,
                    f"{shown(sha256)} is not a SHA-256",
                )
                require(isinstance(name, str) and name in BY_NAME, f"{shown(name)} is not a dtype")
                require(BY_NAME[name].per_item == 1, f"{name} is not a dtype of literals")
                require(
                    self.dtype.is_complex or not BY_NAME[name].torch.is_complex,
                    "a complex literal cannot fill it",
                )
            case Blob():
                source.check(shape, BY_TORCH[self.dtype])
            case Draw():
                self._draw(source)
            case Orthogonal(gain=gain):
                self._draw(source)
                require(is_number(gain), f"{shown(gain)} is not a gain")
                require(len(shape) >= 2, "orthogonal needs two dimensions")
                require(source.layout in ("out_in", "in_out"), "its layout is unknown")
            case Sparse(sparsity=sparsity):
                self._draw(source)
                require(is_number(sparsity) and 0 <= sparsity <= 1, "its sparsity is not in 0..1")
                require(len(shape) == 2, "sparse needs two dimensions")
            case Eye():
                require(len(shape) == 2, "eye needs two dimensions")
            case Formula():
                self._formula(source, shape)
            case Dirac(groups=groups):
                require(len(shape) in (3, 4, 5), "dirac needs three, four or five dimensions")
                require(
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
                require(bool(terms) and depth < MAX_NESTED, "sums nest too deep")
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
        require(not self.dtype.is_complex, f"{formula.type} cannot fill a complex tensor")
        try:
            formula.check(shape, floating=self.dtype.is_floating_point)
        except (TypeError, AttributeError, OverflowError):
            raise ValueError(f"{shown(formula)} has arguments of wrong types") from None

    def _copy(self, copy: Copy, shape: Shape, depth: int) -> None:
        of, strides = copy.shape, copy.strides
        require(depth < MAX_NESTED, "copies nest too deep")
        require(isinstance(copy.name, str), "the copied tensor has no name")
        require(
            len(of) <= MAX_DIMENSIONS and all(is_index(size, MAX_FILE_BYTES + 1) for size in of),
            f"{shown(of)} is not a shape",
        )
        require(
            len(strides) == len(shape)
            and all(is_index(step, MAX_FILE_BYTES) for step in (*strides, copy.offset)),
            f"{shown(strides)} are not strides of shape {shown(shape)}",
        )
        last = copy.offset + sum(
            (size - 1) * step for size, step in zip(shape, strides, strict=True)
        )
        require(not math.prod(shape) or last < math.prod(of), "the copy is larger than its tensor")
        self.program(copy.of, of, depth + 1)

    def _norms(self, norms: Norms, shape: Shape, depth: int) -> None:
        of = norms.shape
        require(self.dtype.is_floating_point, "norms need a floating tensor")
        require(depth < MAX_NESTED, "programs nest too deep")
        require(
            isinstance(of, tuple)
            and 2 <= len(of) <= MAX_DIMENSIONS
            and all(is_index(size, MAX_FILE_BYTES + 1) for size in of)
            and math.prod(of) <= MAX_NORMED_ELEMENTS,
            f"{shown(of)} is not the shape of a matrix",
        )
        require(
            type(norms.axis) is int
            and norms.axis in (0, 1)
            and norms.matrix[norms.axis] == math.prod(shape),
            f"{shown(norms.axis)} is not an axis with one norm for each element",
        )
        require(isinstance(norms.of, Program), "the norms have no program")
        self.program(norms.of, of, depth + 1)

    def _singular_vector(self, vector: SingularVector, shape: Shape, depth: int) -> None:
        of = vector.shape
        require(self.dtype.is_floating_point, "a singular vector needs a floating tensor")
        require(depth < MAX_NESTED, "programs nest too deep")
        require(
            isinstance(of, tuple)
            and 2 <= len(of) <= MAX_DIMENSIONS
            and all(is_index(size, MAX_FILE_BYTES + 1) and size > 0 for size in of),
            f"{shown(of)} is not the shape of a matrix",
        )
        require(
            is_index(vector.iterations, MAX_POWER_PRODUCTS + 1)
            and vector.iterations > 0
            and math.prod(of) * vector.iterations <= MAX_POWER_PRODUCTS,
            f"{shown(vector.iterations)} iterations are not allowed",
        )
        require(is_number(vector.eps), f"{shown(vector.eps)} is not a number")
        require(
            type(vector.axis) is int
            and vector.axis in (0, 1)
            and vector.matrix[vector.axis] == math.prod(shape),
            f"{shown(vector.axis)} is not an axis with one element for each of the vector",
        )
        programs = (vector.of, vector.start)
        require(all(isinstance(p, Program) for p in programs), "the vector has no program")
        self.program(vector.of, of, depth + 1)
        self.program(vector.start, (vector.matrix[1],), depth + 1)

    def _split(self, split: Split, shape: Shape, depth: int) -> None:
        sizes = [part.size for part in split.parts]
        require(depth < MAX_NESTED, "splits nest too deep")
        require(is_index(split.axis, len(shape)), f"{shown(split.axis)} is not an axis to split")
        width, repeat = shape[split.axis], split.repeat
        require(
            is_index(repeat, width + 1) and (repeat > 0 or not width),
            f"{shown(repeat)} is not a number of repetitions",
        )
        require(
            all(is_index(size, width + 1) and size > 0 for size in sizes)
            and sum(sizes) * repeat == width,
            f"parts of {shown(sizes)} do not sum to {width}",
        )
        require(split.stream is None or isinstance(split.stream, str), "its stream is not a name")
        require(type(split.squeeze) is bool, "its squeeze is not a boolean")
        require(not split.squeeze or set(sizes) == {1}, "parts without the axis have not size 1")
        if split.base is not None:
            require(isinstance(split.base, Program), "the base has no program")
            self.program(split.base, shape, depth + 1)
        for part in split.parts:
            inner = split.shape_of(part, shape)
            if isinstance(part.program.source, Base):
                require(split.base is not None, "a part keeps elements of a base that is missing")
                for transform in part.program.transforms:
                    check_transform(transform, inner, self.dtype)
            else:
                self.program(part.program, inner, depth + 1)

    def _draw(self, source: Draw | Orthogonal | Sparse) -> None:
        require(self.dtype.is_floating_point, f"{source.type} needs a floating tensor")
        require(is_index(source.draw, 2**32 - 1), f"{shown(source.draw)} is not a draw")
        require(source.stream is None or isinstance(source.stream, str), "its stream is not a name")
        if not isinstance(source, Orthogonal):
            require(
                isinstance(source.f32, tuple)
                and len(source.f32) == source.constants
                and all(map(is_number, source.f32)),
                f"{shown(source.f32)} are not the constants of {source.type}",
            )


def _is_file_name(value: Any) -> bool:
    """Return whether `value` names a JSON file beside the tensors that is not an index of them."""
    plain = isinstance(value, str) and _FILE.fullmatch(value) is not None
    return plain and not value.endswith(".index.json")
