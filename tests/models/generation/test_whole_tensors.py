"""Wholes: what a range needs is known before it is read, and what it costs before it is made."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedpoint.models.draws import Normal
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.files.layout import Layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.generation.whole_tensors import Needed, Raw, WholeCuts, WholeMatrix, Wholes
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import Constant, Orthogonal, Part, Program, Scale, Sparse, Split

ORTHOGONAL = Program(Orthogonal(1.0), (Scale(2.0),))
SPARSE = Program(Sparse.of(0.3, 1.0))
NORMAL = Program(Normal.of(0.0, 1.0))


class Recording:
    """A cache that keeps nothing and knows what it was asked for."""

    def __init__(self) -> None:
        self.asked: set[Needed] = set()

    def get(self, key: Needed, make: Callable[[], Raw]) -> Raw:
        self.asked.add(key)
        return make()


def split(axis: int, *parts: tuple[int, Program]) -> Program:
    return Program(Split(axis, tuple(Part(size, program) for size, program in parts)))


PROGRAMS = (
    ORTHOGONAL,
    SPARSE,
    NORMAL,
    split(0, (3, ORTHOGONAL), (2, NORMAL), (4, SPARSE)),
    split(1, (2, SPARSE), (1, NORMAL), (5, ORTHOGONAL)),
    split(1, (8, split(0, (4, ORTHOGONAL), (5, SPARSE)))),
    split(0, (0, ORTHOGONAL), (9, ORTHOGONAL), (0, SPARSE)),
)


def planned(*programs: Program) -> Plan:
    tensors = [
        PlanTensor(f"t{number}", (9, 8), BY_NAME["float32"], "parameter", "", program)
        for number, program in enumerate(programs)
    ]
    return Plan(42, "philox-v1", {}, tuple(tensors))


@settings(max_examples=150)
@given(st.sampled_from(PROGRAMS), st.integers(0, 72), st.integers(0, 72))
def test_no_range_is_read_with_more_than_it_needs(program: Program, a: int, b: int) -> None:
    start, stop = sorted((a, b))
    cache = Recording()
    evaluator = Evaluator(planned(program), wholes=Wholes(cache))
    evaluator.fill(0, start, stop, np.empty(4 * (stop - start), np.uint8))
    assert cache.asked <= set(evaluator.needs(0, start, stop))


@settings(max_examples=60)
@given(st.data())
def test_no_stretch_of_a_file_is_read_with_more_than_it_needs(data: st.DataObject) -> None:
    cache = Recording()
    plan = planned(*PROGRAMS)
    evaluator = Evaluator(plan, wholes=Wholes(cache))
    (file,) = Layout.of(plan.tensors, metadata={}).files.values()
    start = data.draw(st.integers(0, file.size_bytes))
    stop = data.draw(st.integers(start, file.size_bytes))
    evaluator.read(file, start, stop, np.empty(stop - start, np.uint8))
    needs = evaluator.needs_of(file, start, stop)
    assert cache.asked <= set(needs)
    assert len(needs) == len(set(needs))


def test_what_is_not_touched_is_not_needed() -> None:
    evaluator = Evaluator(planned(split(0, (3, ORTHOGONAL), (2, NORMAL), (4, SPARSE)), NORMAL))
    kinds = {
        (start, stop): [needed.kind for needed in evaluator.needs(0, start, stop)]
        for start, stop in ((0, 24), (24, 40), (40, 72), (23, 41), (0, 72), (5, 5))
    }
    assert kinds == {
        (0, 24): ["orthogonal"],
        (24, 40): [],
        (40, 72): ["sparse"],
        (23, 41): ["orthogonal", "sparse"],
        (0, 72): ["orthogonal", "sparse"],
        (5, 5): [],
    }
    assert evaluator.needs(1, 0, 72) == []


def test_gains_that_differ_in_their_sign_alone_are_different_wholes() -> None:
    found = [Evaluator(planned(Program(Orthogonal(gain)))).needs(0, 0, 1) for gain in (0.0, -0.0)]
    assert found[0] != found[1]


def test_constants_need_nothing() -> None:
    assert Evaluator(planned(Program(Constant(1.0)))).needs(0, 0, 72) == []


@pytest.mark.parametrize(
    "needed",
    [
        WholeCuts((1, 2), 0, (2000, 3000), 700),
        WholeCuts((1, 2), 0, (3_000_000, 2), 1_000_000),
        WholeCuts((1, 2), 0, (3, 500_000), 1),
        WholeMatrix((1, 2), 0, (700, 600), (1.0).hex()),
    ],
)
def test_making_one_takes_no_more_memory_than_its_cost(needed: Needed) -> None:
    tracemalloc.start()
    try:
        made = needed.make()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made.nbytes == needed.nbytes
    assert peak < 1.02 * needed.cost().nbytes + 500_000
