"""The way from a device to memory, with a device that is as late as it may be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.draws import Normal, Uniform
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.generation import device_draws
from seedpoint.models.generation import evaluator as generate
from seedpoint.models.generation.device_copy import BUFFERS, Staging, staging_from
from seedpoint.models.generation.device_draws import ReferenceDraws
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import Add, Program
from seedpoint.models.statistics.accumulator import BLOCK_ELEMENTS

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_cuda)]


class LateQueue:
    """Copies when it must: when they are waited for."""

    def __init__(self) -> None:
        self.buffers = 0
        self.waiting: list[Callable[[], Any]] = []
        self.most_waiting = 0

    def current(self) -> AbstractContextManager[object]:
        return nullcontext()

    def buffer(self, nbytes: int) -> torch.Tensor:
        self.buffers += 1
        return torch.full((nbytes,), 0xAA, dtype=torch.uint8)

    def copy(self, values: torch.Tensor, buffer: torch.Tensor) -> LateEvent:
        begun = LateEvent(self, values, buffer)
        self.waiting.append(begun.synchronize)
        self.most_waiting = max(self.most_waiting, len(self.waiting))
        return begun


class LateEvent:
    def __init__(self, queue: LateQueue, values: torch.Tensor, buffer: torch.Tensor) -> None:
        self._queue, self._values, self._buffer = queue, values, buffer

    def synchronize(self) -> None:
        self._buffer.copy_(self._values)
        self._queue.waiting.remove(self.synchronize)


@given(st.lists(st.integers(1, 5000), max_size=12))
def test_all_that_is_put_lands_in_order_and_unchanged(sizes: list[int]) -> None:
    queue = LateQueue()
    staging = Staging(queue)
    values = [torch.randint(0, 256, (size,), dtype=torch.uint8) for size in sizes]
    outs = [np.zeros(size, np.uint8) for size in sizes]
    landed: list[int] = []
    for number, (value, out) in enumerate(zip(values, outs, strict=True)):
        staging.put(value, out, lambda number=number: landed.append(number))  # type: ignore[misc]
    assert len(landed) == max(0, len(sizes) - BUFFERS)
    staging.finish()
    assert landed == list(range(len(sizes)))
    assert all((out == value.numpy()).all() for value, out in zip(values, outs, strict=True))
    assert queue.most_waiting <= BUFFERS
    assert not queue.waiting


def test_two_buffers_serve_any_number_of_copies() -> None:
    queue = LateQueue()
    staging = Staging(queue)
    out = np.zeros(1000, np.uint8)
    for _ in range(50):
        staging.put(torch.ones(1000, dtype=torch.uint8), out, lambda: None)
        staging.finish()
    assert queue.buffers == BUFFERS


def test_what_is_given_up_is_waited_for_and_touches_nothing() -> None:
    queue = LateQueue()
    staging = Staging(queue)
    out = np.zeros(10, np.uint8)
    staging.put(torch.ones(10, dtype=torch.uint8), out, lambda: pytest.fail("landed"))
    staging.give_up()
    staging.finish()
    assert not queue.waiting
    assert not out.any()


def plan(program: Any, dtype: str, elements: int) -> Plan:
    return Plan(
        7,
        "philox-v1",
        {},
        (PlanTensor("w", (elements,), BY_NAME[dtype], "parameter", "", program),),
    )


class Seen:
    """An observer that keeps what it is shown."""

    def __init__(self) -> None:
        self.blocks: dict[int, Any] = {}

    def add(self, index: int, values: Any) -> None:
        self.blocks[index] = values.copy()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float8_e5m2", "float64"])
def test_a_device_gives_the_kernels_bytes_and_shows_the_same_values(
    monkeypatch: pytest.MonkeyPatch, device: str, dtype: str, late: bool
) -> None:
    monkeypatch.setattr(generate, "DEVICE_BLOCK_ELEMENTS", BLOCK_ELEMENTS)
    if late:
        monkeypatch.setattr(device_draws, "staging_from", lambda _: Staging(LateQueue()))
    elements = 5 * BLOCK_ELEMENTS + 77
    for program in (Program(Normal.of(0, 2)), Program(Uniform.of(0, 1), (Add(0.5),))):
        found = plan(program, dtype, elements)
        size = elements * BY_NAME[dtype].itemsize
        outs, seen = [np.zeros(size, np.uint8) for _ in range(2)], [Seen(), Seen()]
        Evaluator(found).fill(0, 0, elements, outs[0], seen[0])
        draws = ReferenceDraws(torch.device(device))
        Evaluator(found, draws=draws).fill(0, 0, elements, outs[1], seen[1])
        assert (outs[0] == outs[1]).all()
        shown = [np.concatenate([s.blocks[i] for i in sorted(s.blocks)]) for s in seen]
        assert (shown[0] == shown[1]).all()


def test_a_failure_leaves_nothing_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = LateQueue()
    monkeypatch.setattr(generate, "DEVICE_BLOCK_ELEMENTS", BLOCK_ELEMENTS)
    monkeypatch.setattr(device_draws, "staging_from", lambda _: Staging(queue))

    class Broken(Seen):
        def add(self, index: int, values: Any) -> None:
            raise MemoryError

    elements = 4 * BLOCK_ELEMENTS
    evaluator = Evaluator(
        plan(Program(Normal.of(0, 1)), "float32", elements),
        draws=ReferenceDraws(torch.device("cpu")),
    )
    with pytest.raises(MemoryError):
        evaluator.fill(0, 0, elements, np.zeros(4 * elements, np.uint8), Broken())
    assert not queue.waiting


@pytest.mark.parametrize("device", DEVICES)
def test_a_thread_has_one_way_from_a_device(device: str) -> None:
    draws = ReferenceDraws(torch.device(device))
    assert draws.staging is draws.staging
    assert staging_from(torch.device(device)) is not draws.staging
