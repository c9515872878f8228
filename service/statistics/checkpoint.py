"""Statistics of whole checkpoints, computed once on the engine's threads and then stored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from pydantic_core import to_json

from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.generation.evaluator import OBSERVED_BLOCKS, ByteArray
from seedpoint.models.generation.whole_tensors import WholeTensor
from seedpoint.models.statistics import masses, order_kernels
from seedpoint.models.statistics.checkpoint import CheckpointStatistics, TensorAccumulator, widened
from seedpoint.service.checkpoints.checkpoint import Checkpoint
from seedpoint.service.checkpoints.registry import LARGE_AT_ONCE, LARGE_TENSORS
from seedpoint.service.concurrency.admission import Admission
from seedpoint.service.concurrency.budget import Budget, Reservation
from seedpoint.service.concurrency.single_flight import SingleFlight
from seedpoint.service.generation.dispatcher import Job
from seedpoint.service.generation.engine import Engine
from seedpoint.service.http.shared_documents import SharedDocuments
from seedpoint.service.metrics import Metrics
from seedpoint.service.statistics.computations import Computations
from seedpoint.service.statistics.digests import Digests
from seedpoint.service.statistics.passes import Pass, document, gathering, is_current
from seedpoint.service.statistics.progress import Document, Progress
from seedpoint.service.storage.checkpoint_store import CheckpointStore

JOB_BLOCKS = 16  # Limit of one thread's job, in blocks: about a millisecond on a CPU.
WIDEST_BYTES = 8  # Size of the widest floating element.
NAME = "statistics"  # Name of the shared document.
PASSES_TENSORS = 200_000  # Limit of tensors in passes being sent; each holds some kilobytes.
FULL = "too many large responses with statistics are in progress; retry later"

Piece = tuple[int, int, int]  # (tensor index, start, stop): elements [start, stop).


class Statistics:
    """Computer and cache of checkpoint statistics. Belongs to one event loop.

    Checkpoints of up to `digested_bytes` get digests too. Checkpoints above `unasked_bytes` are
    computed only if they are `asked` for. The computations run in `turns`, at most `at_once` large
    ones at once (`Computations`).
    """

    def __init__(
        self,
        engine: Engine,
        store: CheckpointStore,
        digests: Digests,
        metrics: Metrics,
        turns: Admission,
        documents: SharedDocuments,
        *,
        at_once: int,
        lease_seconds: float,
        digested_bytes: int,
        unasked_bytes: int,
    ) -> None:
        self._engine = engine
        self._store = store
        self._digests = digests
        self._documents = documents
        self._digested_bytes = digested_bytes
        self._unasked_bytes = unasked_bytes
        self._reading: SingleFlight[str, memoryview | None] = SingleFlight()
        self._finishing = Admission(LARGE_AT_ONCE)
        self._computations: Computations[bytes] = Computations(
            turns, at_once=at_once, lease_seconds=lease_seconds
        )
        metrics.statistics_running.set_function(lambda: len(self._computations))
        self.passes = Budget(PASSES_TENSORS)
        self._scratch = threading.local()

    async def known(self, id_: str) -> memoryview | None:
        """Return the statistics as JSON if they are computed; all responses share one buffer.

        Raises: Busy (`SharedDocuments`).
        """
        if (found := self._documents.get(id_, NAME)) is not None:
            return found
        return await self._reading.join(id_, partial(self._read, id_))

    async def _read(self, id_: str) -> memoryview | None:
        found = await asyncio.to_thread(self._store.statistics, id_)
        is_known = found is not None and is_current(found)  # older versions are computed anew
        return None if found is None or not is_known else self._documents.share(id_, NAME, found)

    async def get(
        self, checkpoint: Checkpoint, wait_seconds: float, *, asked: bool = True
    ) -> memoryview | Document:
        """Return the statistics as JSON, or their progress after `wait_seconds`.

        See `Computations.get`. The computation does not start if nobody asked and the checkpoint
        is large.

        Raises: Busy, if the statistics are computed but cannot be sent now (`SharedDocuments`).
        """
        if (found := await self.known(checkpoint.id)) is not None:
            return found
        if asked or checkpoint.size_bytes <= self._unasked_bytes:
            made = await self._computations.get(
                checkpoint.id,
                partial(self._compute, checkpoint),
                bytes_total=self._bytes_total(checkpoint),
                tensors=len(checkpoint.plan.tensors),
                wait_seconds=wait_seconds,
            )
            if made is not None:
                return self._documents.share(checkpoint.id, NAME, made)
        return self._computations.progress(checkpoint.id, self._bytes_total(checkpoint))

    async def begin(self, checkpoint: Checkpoint) -> Pass:
        """Return a pass over the files for a caller that sends them; `finish` it afterwards.

        Raises: Busy, if passes being sent would hold more than PASSES_TENSORS tensors.
        """
        tensors, reservation = len(checkpoint.plan.tensors), None
        if tensors > LARGE_TENSORS:
            reservation = self.passes.reserve(tensors, FULL)
        return await asyncio.to_thread(self._pass, checkpoint, reservation)

    def _pass(self, checkpoint: Checkpoint, reservation: Reservation | None = None) -> Pass:
        digested = self._is_digested(checkpoint)
        return Pass(self._engine, checkpoint, digested=digested, reservation=reservation)

    async def finish(self, whole: Pass) -> bytes:
        """Store the statistics of a complete pass and return them as JSON."""
        if digests := whole.digests():
            await self._digests.add(whole.checkpoint.id, digests)
        return await self._keep(whole.checkpoint, whole.document)

    def close(self) -> None:
        """Cancel all computations."""
        self._computations.close()

    async def _compute(self, checkpoint: Checkpoint, progress: Progress) -> bytes:
        if self._is_digested(checkpoint):
            return await self._read_files(checkpoint, progress)
        return await self._generate(checkpoint, progress)

    async def _read_files(self, checkpoint: Checkpoint, progress: Progress) -> bytes:
        whole = await asyncio.to_thread(self._pass, checkpoint)
        for file in checkpoint.files:
            async with aclosing(whole.stream(file, "background")) as chunks:
                async for chunk in chunks:
                    await progress.add(len(chunk))
        return await self.finish(whole)

    async def _generate(self, checkpoint: Checkpoint, progress: Progress) -> bytes:
        """Compute the statistics without digests, in scratch buffers that stay in cache."""
        ahead = 2 * self._engine.threads + 2
        gathered = await asyncio.to_thread(gathering, checkpoint)
        progress.bytes_done = checkpoint.tensor_bytes - gathered.seen_bytes
        jobs = (
            Job(
                partial(self._gather, checkpoint, gathered, pieces),
                _whole_tensors(checkpoint, pieces),
            )
            for pieces in _jobs(gathered, JOB_BLOCKS * checkpoint.evaluator.block_elements)
        )
        made = self._engine.ordered(jobs, ahead=ahead, priority="background")
        async with aclosing(made) as sizes:
            async for size_bytes in sizes:
                await progress.add(size_bytes)
        return await self._keep(checkpoint, partial(document, gathered, checkpoint, {}))

    def _gather(
        self, checkpoint: Checkpoint, gathered: CheckpointStatistics, pieces: list[Piece]
    ) -> int:
        """Generate `pieces` a few blocks at a time; return the number of bytes."""
        evaluator, size_bytes = checkpoint.evaluator, 0
        step = OBSERVED_BLOCKS * evaluator.block_elements
        scratch = self._buffer(step * WIDEST_BYTES)
        for index, start, stop in pieces:
            tensor = checkpoint.plan.tensors[index]
            observer = gathered.observers[tensor.name]
            size_bytes += tensor.dtype.nbytes(stop - start)
            for first in range(start, stop, step):
                last = min(first + step, stop)
                out = scratch[: tensor.dtype.nbytes(last - first)]
                evaluator.fill(index, first, last, out, observer)
        return size_bytes

    def _buffer(self, nbytes: int) -> ByteArray:
        """Return `nbytes` of this thread's scratch buffer."""
        buffer: ByteArray | None = getattr(self._scratch, "buffer", None)
        if buffer is None or len(buffer) < nbytes:
            buffer = self._scratch.buffer = np.empty(nbytes, np.uint8)
        return buffer[:nbytes]

    def _bytes_total(self, checkpoint: Checkpoint) -> int:
        """Return the number of bytes that the statistics are computed from."""
        is_digested = self._is_digested(checkpoint)
        return checkpoint.size_bytes if is_digested else checkpoint.tensor_bytes

    def _is_digested(self, checkpoint: Checkpoint) -> bool:
        return checkpoint.size_bytes <= self._digested_bytes

    async def _keep(self, checkpoint: Checkpoint, made: Callable[[], Any]) -> bytes:
        """Store the result of `made` and return it as JSON.

        Runs in a thread, for at most LARGE_AT_ONCE large checkpoints at once: one takes hundreds
        of megabytes.
        """

        def keep() -> bytes:
            content = to_json(made())
            self._store.put_statistics(checkpoint.id, content)
            return content

        if len(checkpoint.plan.tensors) <= LARGE_TENSORS:
            return await asyncio.to_thread(keep)
        async with self._finishing.slot():
            return await asyncio.to_thread(keep)


def _jobs(gathered: CheckpointStatistics, elements: int) -> Iterator[list[Piece]]:
    """Yield jobs of at most `elements` each that cover every tensor with an observer."""
    pieces: list[Piece] = []
    room = elements
    for index, tensor in enumerate(gathered.plan.tensors):
        if tensor.name not in gathered.observers:
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


def _whole_tensors(checkpoint: Checkpoint, pieces: list[Piece]) -> list[WholeTensor]:
    evaluator = checkpoint.evaluator
    return list(chain.from_iterable(evaluator.whole_tensors_of_elements(*p) for p in pieces))


def warm_up() -> None:
    """Compile the kernels, or load them from the cache."""
    for name in ("float32", "float64", "bfloat16"):
        dtype = BY_NAME[name]
        accumulator = TensorAccumulator(2, dtype)
        accumulator.add_block(0, widened(np.zeros(2 * dtype.itemsize, np.uint8), dtype))
        accumulator.result()
    for kernels in (masses, order_kernels):
        kernels.warm_up()
