"""Wholes: what a range needs is known before it is read, and what it costs before it is made."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedpoint.models.draws import Normal
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.files.layout import Layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.generation.whole_tensors import (
    MemoryCache,
    Raw,
    WholeCuts,
    WholeMatrix,
    Wholes,
    WholeTensor,
    entry_bytes,
)
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import Constant, Orthogonal, Part, Program, Scale, Sparse, Split
from tests.support.waiting import eventually

ORTHOGONAL = Program(Orthogonal(1.0), (Scale(2.0),))
SPARSE = Program(Sparse.of(0.3, 1.0))
NORMAL = Program(Normal.of(0.0, 1.0))


class Recording:
    """A cache that keeps nothing and knows what it was asked for."""

    def __init__(self) -> None:
        self.asked: set[WholeTensor] = set()

    def get(self, key: WholeTensor, make: Callable[[], Raw]) -> Raw:
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
    assert cache.asked <= set(evaluator.whole_tensors_of_elements(0, start, stop))


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
    wholes = evaluator.whole_tensors_of_bytes(file, start, stop)
    assert cache.asked <= set(wholes)
    assert len(wholes) == len(set(wholes))


def test_what_is_not_touched_is_not_needed() -> None:
    evaluator = Evaluator(planned(split(0, (3, ORTHOGONAL), (2, NORMAL), (4, SPARSE)), NORMAL))
    kinds = {
        (start, stop): [whole.kind for whole in evaluator.whole_tensors_of_elements(0, start, stop)]
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
    assert evaluator.whole_tensors_of_elements(1, 0, 72) == []


def test_gains_that_differ_in_their_sign_alone_are_different_wholes() -> None:
    found = [
        Evaluator(planned(Program(Orthogonal(gain)))).whole_tensors_of_elements(0, 0, 1)
        for gain in (0.0, -0.0)
    ]
    assert found[0] != found[1]


def test_constants_need_nothing() -> None:
    assert Evaluator(planned(Program(Constant(1.0)))).whole_tensors_of_elements(0, 0, 72) == []


@pytest.mark.parametrize(
    "whole",
    [
        WholeCuts((1, 2), 0, (2000, 3000), 700),
        WholeCuts((1, 2), 0, (3_000_000, 2), 1_000_000),
        WholeCuts((1, 2), 0, (3, 500_000), 1),
        WholeMatrix((1, 2), 0, (700, 600), (1.0).hex()),
    ],
)
def test_making_one_takes_no_more_memory_than_its_cost(whole: WholeTensor) -> None:
    tracemalloc.start()
    try:
        made = whole.make()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made.nbytes == whole.nbytes
    assert peak < 1.02 * whole.cost().nbytes + 500_000


# --- the cache in memory -----------------------------------------------------------


def test_a_cache_forgets_what_was_used_longest_ago() -> None:
    cache = MemoryCache(100, len)
    made: list[str] = []

    def get(key: str) -> None:
        cache.get(key, lambda: (made.append(key), b"x" * 40)[1])

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert made == ["a", "b", "c", "b"]


def test_a_cache_finds_what_it_has_without_making_it() -> None:
    cache = MemoryCache(100, len)
    assert cache.find("a") is None
    cache.get("a", lambda: b"x")
    assert cache.find("a") == b"x"


def test_a_value_that_exceeds_the_cache_alone_stays_until_the_next() -> None:
    cache = MemoryCache(3, len)
    cache.get("a", lambda: b"x")
    cache.get("b", lambda: b"xxxxxxxx")
    assert (cache.find("a"), cache.find("b")) == (None, b"xxxxxxxx")
    cache.get("c", lambda: b"x")
    assert (cache.find("b"), cache.find("c")) == (None, b"x")


@pytest.mark.parametrize("max_bytes", [10_000, 100])
def test_a_cache_of_many_values_looks_at_few_of_them(max_bytes: int) -> None:
    compared = 0

    class Key(int):
        __hash__ = int.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return int(self) == other

        def __ne__(self, other: object) -> bool:
            return not self == other

    cache = MemoryCache(max_bytes, len)
    for number in range(1_000):
        cache.get(Key(number), lambda: b"x")
    assert compared <= 2_000


def test_tiny_tensors_count_with_the_memory_of_their_entries() -> None:
    def fill(cache: MemoryCache, entries: int) -> None:
        for draw in range(entries):
            whole = WholeMatrix((1, 2), draw, (2, 2), (1.0).hex())
            cache.get(whole, lambda: np.zeros(16, np.uint8))

    fill(MemoryCache(1 << 20, entry_bytes), 100)
    tracemalloc.start()
    try:
        cache = MemoryCache(1 << 20, entry_bytes)
        fill(cache, 5_000)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken <= 1.5 * (1 << 20)


def test_an_error_reaches_all_who_ask_at_once_and_nothing_is_kept() -> None:
    cache, go = MemoryCache(100, len), threading.Event()
    made: list[str] = []

    def fail() -> bytes:
        made.append("a")
        go.wait(60)
        raise ValueError("gone")

    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(cache.get, "a", fail) for _ in range(4)]
        eventually(lambda: made)
        assert cache.find("a") is None  # It is being made.
        go.set()
        assert all(isinstance(each.exception(60), ValueError) for each in asked)
    assert cache.get("a", lambda: b"x") == b"x"
