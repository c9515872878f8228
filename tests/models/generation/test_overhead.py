"""Light programs: short ranges that need few elements beside their own."""

from __future__ import annotations

import pytest

from seedpoint.models.draws import Normal
from seedpoint.models.generation.overhead import is_light
from seedpoint.models.plan.program import (
    Constant,
    Copy,
    Norms,
    Part,
    Program,
    SingularVector,
    Source,
    Split,
    Sum,
)

Shape = tuple[int, ...]
NORMAL = Program(Normal.of(0.0, 1.0, stream="w"))
LARGE = (4096, 4096)


def vector(shape: Shape, iterations: int = 15) -> SingularVector:
    return SingularVector(NORMAL, shape, NORMAL, iterations, 1e-12, 0)


def copy(strides: Shape, shape: Shape = LARGE, of: Program = NORMAL) -> Copy:
    return Copy(of, "w", shape, strides)


def parts(size: int, repeat: int, axis: int = 0, of: Program = NORMAL) -> Split:
    return Split(axis, (Part(size, of),), repeat)


NORMS = Norms(NORMAL, LARGE, 1)
LIGHT: dict[str, tuple[Source, Shape]] = {
    "a draw": (NORMAL.source, LARGE),
    "norms of a small matrix": (Norms(NORMAL, (64, 64), 0), (64, 1)),
    "singular vectors of a small matrix": (vector((32, 64)), (32,)),
    "a sum of two": (Sum((NORMAL, NORMAL)), LARGE),
    "a copy in order": (copy((4096, 1)), LARGE),
    "a copy of rows": (copy((4096, 1)), (12, 4096)),
    "a transposed copy of a small matrix": (copy((1, 64), (64, 64)), (64, 64)),
    "large parts": (parts(64, 1000), (64_000, 4096)),
    "few parts": (parts(1, 24), (24,)),
}
HEAVY: dict[str, tuple[Source, Shape]] = {
    "norms of a large matrix": (NORMS, (1, 4096)),
    "singular vectors of a large matrix": (vector(LARGE), (4096,)),
    "many iterations on a small matrix": (vector((64, 64), 1 << 16), (64,)),
    "a copy of singular vectors": (copy((1,), (4096,), Program(vector(LARGE))), (4096,)),
    "a sum with norms": (Sum((Program(Constant(1.0)), Program(NORMS))), (1, 4096)),
    "a sum of many": (Sum((NORMAL,) * 64), LARGE),
    "a transposed copy": (copy((1, 4096)), LARGE),
    "a copy of narrow columns": (copy((4096, 1)), (4096, 16)),
    "many small parts": (parts(1, 16_384), (16_384,)),
    "parts of norms": (parts(1, 2, of=Program(NORMS)), (2, 4096)),
    "norms below parts": (Split(0, (Part(2, NORMAL),), base=Program(NORMS)), (2, 4096)),
}


@pytest.mark.parametrize("name", LIGHT)
def test_a_range_that_needs_few_other_elements_is_light(name: str) -> None:
    assert is_light(Program(LIGHT[name][0]), LIGHT[name][1])


@pytest.mark.parametrize("name", HEAVY)
def test_a_range_that_needs_many_other_elements_is_not_light(name: str) -> None:
    assert not is_light(Program(HEAVY[name][0]), HEAVY[name][1])
