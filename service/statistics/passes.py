"""Pass over the files of a checkpoint that yields bytes, statistics and digests together."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from pydantic_core import to_json

from seedpoint.models.files.file_digests import FileDigests
from seedpoint.models.generation.chunks import Observed
from seedpoint.models.generation.evaluator import ByteArray
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.statistics.accumulator import MEASURED
from seedpoint.models.statistics.checkpoint import CheckpointStatistics, layers
from seedpoint.models.statistics.describe import describe_program
from seedpoint.models.statistics.histogram import BINS
from seedpoint.models.statistics.split_windows import windows
from seedpoint.models.statistics.verdict import CRITERIA
from seedpoint.service.checkpoints.checkpoint import Checkpoint, CheckpointFile
from seedpoint.service.checkpoints.registry import LARGE_TENSORS
from seedpoint.service.concurrency.budget import Reservation
from seedpoint.service.generation.byte_source import Priority
from seedpoint.service.generation.engine import Engine
from seedpoint.service.statistics import heap_trim

Document = dict[str, Any]

VERSION = 2
"""Version of the document; increase it whenever stored documents have to be computed anew."""


@dataclass(frozen=True, slots=True)
class ObservedFile(CheckpointFile):
    """Byte source of a file whose values are passed to statistics while they are in cache.

    Each span from `cuts` must be read once.
    """

    observed: Observed

    @property
    def is_light(self) -> bool:
        return False  # Observing takes longer than generating.

    def read(self, start: int, stop: int, out: ByteArray) -> None:
        self.observed.read(self.file, start, stop, out)


class Pass:
    """Pass over a checkpoint's files; its statistics are complete once every file is read.

    Read every file once, from start to end. `digested` adds the SHA-256 of the files and
    tensors, which takes several times as long. The pass keeps its `reservation` until it is closed.
    """

    def __init__(
        self,
        engine: Engine,
        checkpoint: Checkpoint,
        *,
        digested: bool,
        reservation: Reservation | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self._reservation = reservation
        self._engine = engine
        self._gathered = gathering(checkpoint)
        self._observed = Observed(checkpoint.evaluator, self._gathered)
        self._digests = {
            file.name: FileDigests(file) for file in checkpoint.layout.files.values() if digested
        }

    async def stream(
        self, file: CheckpointFile, priority: Priority
    ) -> AsyncGenerator[memoryview, None]:
        """Yield the bytes of `file`, in order."""
        source = ObservedFile(file.checkpoint, file.file, file.etag, self._observed)
        digests = self._digests.get(file.name)
        async with aclosing(self._engine.stream(source, priority=priority)) as chunks:
            async for chunk in chunks:
                if digests is not None:
                    await self._engine.run(partial(digests.update, chunk), priority=priority)
                yield chunk

    @property
    def room_bytes(self) -> int:
        """Upper bound of the length of the statistics as JSON."""
        return room_bytes(self.checkpoint)

    def close(self) -> None:
        """Release the reservation; call it when the pass is complete or abandoned."""
        if self._reservation is not None:
            self._reservation.release()

    def document(self) -> Document:
        """Return the statistics.

        Raises: ValueError, if a file has not been read.
        """
        return document(self._gathered, self.checkpoint, self._digests)

    def digests(self) -> Mapping[str, str]:
        """Return the hexadecimal SHA-256 of each file by entity tag."""
        digests = self._digests.items()
        return {self.checkpoint.file(name).etag: found.whole for name, found in digests}


def gathering(checkpoint: Checkpoint) -> CheckpointStatistics:
    """Return empty statistics of `checkpoint`, ready to gather."""
    plan = checkpoint.plan
    sources = checkpoint.evaluator.sources
    gathered = CheckpointStatistics(plan, sources.blobs, sources.blob_files)
    if len(plan.tensors) > LARGE_TENSORS:
        heap_trim.give_back_after(gathered)
    return gathered


def document(
    gathered: CheckpointStatistics, checkpoint: Checkpoint, digests: Mapping[str, FileDigests]
) -> Document:
    """Return the statistics with files and digests; a digest that is missing is null."""
    found = {"version": VERSION, **gathered.document()}
    tensors = {n: sha for each in digests.values() for n, sha in each.tensors.items()}
    for name, tensor in found["tensors"].items():
        tensor["sha256"] = tensors.get(name)
    found["files"] = {
        name: {
            "bytes": file.size_bytes,
            "sha256": digests[name].whole if name in digests else None,
        }
        for name, file in checkpoint.layout.files.items()
    }
    return found


def is_current(content: bytes | memoryview) -> bool:
    """Return whether a stored document, as `to_json` wrote it, is of the current VERSION."""
    opening = to_json({"version": VERSION})[:-1] + b","
    return bytes(content[: len(opening)]) == opening


def room_bytes(checkpoint: Checkpoint) -> int:
    """Return a tight upper bound of the length of any `document` of `checkpoint` as JSON.

    The resource's length bounds that of the tensors' descriptions and names (as keys), which it
    contains too.
    """
    tensors = sum(_widest_bytes(len(str(tensor.numel))) for tensor in checkpoint.plan.tensors)
    members = layers(checkpoint.plan)
    merged = sum(
        _widest_bytes(len(str(sum(tensor.numel for tensor in member))))
        for member in members.values()
    )
    named = {name: [tensor.name for tensor in member] for name, member in members.items()}
    files = {name: [file.size_bytes, "f" * 64] for name, file in checkpoint.layout.files.items()}
    rest = len(to_json([named, files])) + 30 * len(files) + 500
    parts = sum(map(_parts_bytes, checkpoint.plan.tensors))
    return 2 * len(checkpoint.resource) + tensors + merged + rest + parts


def _parts_bytes(tensor: PlanTensor) -> int:
    """Return an upper bound of the JSON length of a split tensor's parts."""
    found = windows(tensor.program, tensor.shape)
    described = [[part.axes, describe_program(part.program), part.numel] for part in found]
    places = sum(len(part.axes) for part in found)
    room = len(found) * (_widest_verdict_bytes() + 150) + 40 * places
    return len(to_json(described)) + room if found else 0


@cache
def _widest_verdict_bytes() -> int:
    number = -2.2250738585072014e-308
    scores = {"mean": number, "std": number}
    widest = {"z": scores, "expected": scores, "criteria": dict.fromkeys(CRITERIA, number)}
    return len(to_json(widest | scores | {"pass": False}))


@cache
def _widest_bytes(digits: int) -> int:
    """Return the largest JSON length of a tensor or layer whose `numel` has `digits` digits."""
    count, number = 10**digits - 1, -2.2250738585072014e-308  # The longest in JSON.
    histogram = {"min": number, "max": number, "bins": [count] * BINS, "sampled": count}
    found: Document = dict.fromkeys(MEASURED, number) | {"numel": count}
    found["histogram"] = histogram | {"of": count, "estimated": False}
    found |= {"z": {"mean": number, "std": number}, "pass": False, "sha256": "f" * 64}
    found["criteria"] = dict.fromkeys(CRITERIA, number)
    return len(to_json(found))
