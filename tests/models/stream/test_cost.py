"""Costs of whole tensors: which are found in a program, and which are too much."""

from __future__ import annotations

import pytest

from seedpoint.models.draws import Normal
from seedpoint.models.plan.program import Norms, Orthogonal, Part, Program, Sparse, Split
from seedpoint.models.stream.cost import too_costly, whole_sources

ORTHOGONAL, SPARSE = Orthogonal(1.0), Sparse.of(0.5, 1.0)


def test_whole_tensors_are_found_in_parts_and_under_norms() -> None:
    parts = (Part(2, Program(ORTHOGONAL)), Part(3, Program(Normal.of(0, 1))))
    split = Program(Split(0, (*parts, Part(1, Program(SPARSE)))))
    assert list(whole_sources(split, (6, 4))) == [(ORTHOGONAL, (2, 4)), (SPARSE, (1, 4))]
    norms = Program(Norms(Program(ORTHOGONAL), (5, 7), 0))
    assert list(whole_sources(norms, (5,))) == [(ORTHOGONAL, (5, 7))]
    assert list(whole_sources(Program(Normal.of(0, 1)), (6, 4))) == []


@pytest.mark.parametrize(
    ("source", "shape", "reason"),
    [
        (ORTHOGONAL, (40_000, 40_000), "40000 x 40000 takes"),
        (SPARSE, (10**6, 10**6), "1000000 x 1000000 is too large"),
        (SPARSE, (1, 10**8), "too large"),
    ],
)
def test_what_takes_too_much_is_refused_with_its_size(
    source: Orthogonal | Sparse, shape: tuple[int, ...], reason: str
) -> None:
    assert reason in (too_costly(source, shape) or "")


@pytest.mark.parametrize("source", [ORTHOGONAL, SPARSE])
def test_what_a_machine_can_compute_costs_not_too_much(source: Orthogonal | Sparse) -> None:
    assert too_costly(source, (4096, 4096)) is None
