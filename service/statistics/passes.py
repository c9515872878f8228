"""One pass over the files of a checkpoint: bytes, statistics and digests of the same values."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from functools import cache, partial
from typing import Any

from pydantic_core import to_json

from seedpoint.models.files.file_digests import FileDigests
from seedpoint.models.files.layout import File
from seedpoint.models.generation.chunks import Observed
from seedpoint.models.plan.describe import describe_program
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.statistics.accumulator import MEASURED
from seedpoint.models.statistics.checkpoint import CheckpointStatistics, layers
from seedpoint.models.statistics.histogram import BINS
from seedpoint.models.statistics.split_windows import windows
from seedpoint.models.statistics.verdict import CRITERIA
from seedpoint.service.checkpoints.registry import LARGE_TENSORS, Checkpoint
from seedpoint.service.concurrency.budget import Hold
from seedpoint.service.generation.engine import Engine
from seedpoint.service.http.streaming_response import Body
from seedpoint.service.statistics import heap_trim

Document = dict[str, Any]

VERSION = 2
"""Of the document: another whenever what is stored under an older one would be judged anew."""


class Pass:
    """Every file is to be read once and whole; then the statistics are complete.

    `digested`: with the SHA-256 of the files and tensors, which takes several times as long.
    It keeps its `hold` until it is closed.
    """

    def __init__(
        self,
        engine: Engine,
        checkpoint: Checkpoint,
        *,
        digested: bool,
        hold: Hold | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self._hold = hold
        self._engine = engine
        self._gathered = gathering(checkpoint)
        self._observed = Observed(checkpoint.evaluator, self._gathered)
        self._digests = {
            file.name: FileDigests(file) for file in checkpoint.layout.files.values() if digested
        }

    async def body(self, file: File, *, background: bool = False, begun: bool = False) -> Body:
        """The bytes of `file`, in order; `begun` when they are a later part of an answer."""
        read, digests = partial(self._observed.read, file), self._digests.get(file.name)
        cuts = self.checkpoint.cuts(file)
        needs = self.checkpoint.needs(file)
        made = self._engine.body(
            *(read, 0, file.size_bytes, cuts), needs=needs, background=background, begun=begun
        )
        async with aclosing(made) as chunks:
            async for chunk in chunks:
                if digests is not None:
                    await self._engine.run(partial(digests.update, chunk), background=background)
                yield chunk

    @property
    def room_bytes(self) -> int:
        """No less than the length of the statistics as JSON."""
        return room_bytes(self.checkpoint)

    def close(self) -> None:
        """To be called when it is complete, or given up."""
        if self._hold is not None:
            self._hold.give_back()

    def document(self) -> Document:
        """The statistics. Raises ValueError when some of the files has not been read."""
        return document(self._gathered, self.checkpoint, self._digests)

    def digests(self) -> Mapping[str, str]:
        """SHA-256 of the files by entity tag, hexadecimal."""
        etag = self.checkpoint.file_etag
        return {etag(name): digests.whole for name, digests in self._digests.items()}


def gathering(checkpoint: Checkpoint) -> CheckpointStatistics:
    """The statistics of `checkpoint`, none of which is gathered yet."""
    plan = checkpoint.plan
    gathered = CheckpointStatistics(plan, checkpoint.evaluator.sources.blobs)
    if len(plan.tensors) > LARGE_TENSORS:
        heap_trim.give_back_after(gathered)
    return gathered


def document(
    gathered: CheckpointStatistics, checkpoint: Checkpoint, digests: Mapping[str, FileDigests]
) -> Document:
    """The statistics with the files and the digests there are; null for others."""
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
    """Whether a stored document is of this version; it is as `to_json` writes it."""
    opening = to_json({"version": VERSION})[:-1] + b","
    return bytes(content[: len(opening)]) == opening


def room_bytes(checkpoint: Checkpoint) -> int:
    """No less than the length of any `document` of `checkpoint` as JSON; not much more.

    What is known of a tensor, and its name as a key, are in the resource too.
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
    """No less than the length of what is found of a split tensor's parts."""
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
    """The length of what is found of one tensor or layer, whose `numel` has so many digits."""
    count, number = 10**digits - 1, -2.2250738585072014e-308  # None has more characters.
    histogram = {"min": number, "max": number, "bins": [count] * BINS, "sampled": count}
    found: Document = dict.fromkeys(MEASURED, number) | {"numel": count}
    found["histogram"] = histogram | {"of": count, "estimated": False}
    found |= {"z": {"mean": number, "std": number}, "pass": False, "sha256": "f" * 64}
    found["criteria"] = dict.fromkeys(CRITERIA, number)
    return len(to_json(found))
