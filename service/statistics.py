"""Statistics of whole checkpoints: computed once on the engine's threads, then kept."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from pydantic_core import to_json

from models.dtypes import BY_NAME
from models.generate import ByteArray
from models.plan import Plan
from models.statistics import CheckpointStatistics, TensorAccumulator, widened
from service.checkpoints import Checkpoint
from service.engine import Engine
from service.flights import Flights
from service.metrics import Metrics
from service.store import Store

JOB_BLOCKS = 16  # What one job of a thread covers at most: about a millisecond on a CPU.
WIDEST_BYTES = 8  # Of a floating element.

Piece = tuple[int, int, int]  # A tensor's index, and elements [start, stop) of it.


@dataclass
class Progress:
    """How far a computation is, in elements."""

    elements_total: int
    elements_done: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def document(self) -> dict[str, int | float]:
        fraction = self.elements_done / self.elements_total if self.elements_total else 1.0
        return {
            "elements_done": self.elements_done,
            "elements_total": self.elements_total,
            "fraction": round(fraction, 4),
            "seconds": round(time.monotonic() - self.started, 3),
        }


class Statistics:
    """Computes and keeps the statistics of checkpoints. Belongs to one event loop."""

    def __init__(self, engine: Engine, store: Store, metrics: Metrics) -> None:
        self._engine = engine
        self._store = store
        self._metrics = metrics
        self._running: Flights[str, bytes] = Flights()
        self._progress: dict[str, Progress] = {}
        self._scratch = threading.local()

    def known(self, id_: str) -> bytes | None:
        """The statistics, JSON, if they have been computed."""
        return self._store.statistics(id_)

    async def get(self, checkpoint: Checkpoint, wait_seconds: float) -> bytes | None:
        """The statistics, JSON; None when they take longer, and then they go on.

        When the call is cancelled, and nobody else waits, they do not.
        """
        if (found := await asyncio.to_thread(self.known, checkpoint.id)) is not None:
            return found

        async def compute() -> bytes:
            return await self._compute(checkpoint)

        waiting = asyncio.create_task(self._running.join(checkpoint.id, compute))
        try:
            await asyncio.wait((waiting,), timeout=wait_seconds)
            if waiting.done():
                return waiting.result()
            self._running.keep(checkpoint.id)
            return None
        finally:
            waiting.cancel()

    def progress(self, id_: str) -> dict[str, int | float]:
        """How far the computation is; all of it when there is none."""
        return self._progress.get(id_, Progress(0)).document

    def close(self) -> None:
        """Cancels what is being computed."""
        self._running.cancel()

    async def _compute(self, checkpoint: Checkpoint) -> bytes:
        gathered = CheckpointStatistics(checkpoint.plan)
        floating = [tensor.numel for tensor in checkpoint.plan.tensors if tensor.dtype.is_floating]
        progress = self._progress[checkpoint.id] = Progress(sum(floating))
        block = checkpoint.evaluator.block_elements
        jobs = (
            partial(self._gather, checkpoint, gathered, pieces)
            for pieces in _jobs(checkpoint.plan, JOB_BLOCKS * block)
        )
        try:
            with self._metrics.statistics_running.track_inprogress():
                ahead = self._engine.threads + 1
                async with aclosing(self._engine.ordered(jobs, ahead=ahead)) as counts:
                    async for count in counts:
                        progress.elements_done += count
                return await asyncio.to_thread(self._keep, checkpoint.id, gathered)
        finally:
            del self._progress[checkpoint.id]

    def _gather(
        self, checkpoint: Checkpoint, gathered: CheckpointStatistics, pieces: list[Piece]
    ) -> int:
        """Generates `pieces` block by block, into memory that stays in cache."""
        evaluator = checkpoint.evaluator
        scratch = self._buffer(evaluator.block_elements * WIDEST_BYTES)
        for index, start, stop in pieces:
            tensor = checkpoint.plan.tensors[index]
            observer = gathered.accumulators[tensor.name]
            for first in range(start, stop, evaluator.block_elements):
                last = min(first + evaluator.block_elements, stop)
                out = scratch[: (last - first) * tensor.dtype.itemsize]
                evaluator.fill(index, first, last, out, observer)
        return sum(stop - start for _, start, stop in pieces)

    def _buffer(self, nbytes: int) -> ByteArray:
        """This thread's own."""
        buffer: ByteArray | None = getattr(self._scratch, "buffer", None)
        if buffer is None or len(buffer) < nbytes:
            buffer = self._scratch.buffer = np.empty(nbytes, np.uint8)
        return buffer

    def _keep(self, id_: str, gathered: CheckpointStatistics) -> bytes:
        document = to_json(gathered.document())
        self._store.put_statistics(id_, document)
        return document


def _jobs(plan: Plan, elements: int) -> Iterator[list[Piece]]:
    """Every element of the floating tensors, in pieces of at most `elements` in all."""
    pieces: list[Piece] = []
    room = elements
    for index, tensor in enumerate(plan.tensors):
        if not tensor.dtype.is_floating:
            continue
        for start in range(0, tensor.numel, elements):
            stop = min(start + elements, tensor.numel)
            if stop - start > room:
                yield pieces
                pieces, room = [], elements
            pieces.append((index, start, stop))
            room -= stop - start
    if pieces:
        yield pieces


def warm_up() -> None:
    """Compiles the kernels, or loads them."""
    for name in ("float32", "float64", "bfloat16"):
        dtype = BY_NAME[name]
        accumulator = TensorAccumulator(2, dtype)
        accumulator.add_block(0, widened(np.zeros(2 * dtype.itemsize, np.uint8), dtype))
        accumulator.result()
