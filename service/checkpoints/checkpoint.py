"""An issued checkpoint and its files, which are byte sources."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from pydantic_core import to_json

from seedpoint.models.files.layout import File, Layout
from seedpoint.models.generation.chunks import cuts
from seedpoint.models.generation.evaluator import ByteArray, Evaluator
from seedpoint.models.generation.whole_tensors import WholeTensor
from seedpoint.models.plan.plan import Plan
from seedpoint.models.statistics.describe import resource
from seedpoint.service.concurrency.cached_property import locked_cached_property
from seedpoint.service.errors import NotFound

# Bounds of a "did you mean" hint: the time to match two names grows with their lengths' product.
MAX_CANDIDATES = 1000  # Names that are candidates.
MAX_MATCHED = 50  # Candidates that are matched exactly, after a quick estimate.
MAX_CHARACTERS = 100  # Longest name that is matched, or quoted in a message.
LISTED_FILES = 3  # Files that an error message names.


@dataclass(frozen=True)
class Checkpoint:
    """Issued checkpoint, ready to be read.

    `blobs` are the SHA-256 of the files in the store from which some of it is read.
    """

    id: str
    plan: Plan
    layout: Layout
    evaluator: Evaluator
    blobs: frozenset[str] = frozenset()

    def file(self, name: str) -> CheckpointFile:
        """Return the file `name`.

        Raises: NotFound.
        """
        if (file := self.layout.files.get(name)) is None:
            there = ", ".join(islice(self.layout.files, LISTED_FILES))
            more = len(self.layout.files) - LISTED_FILES
            rest = f" and {more} more" if more > 0 else ""
            raise NotFound(f"no file {name[:MAX_CHARACTERS]!r}; files: {there}{rest}")
        return CheckpointFile(self, file, self.etag(f"files/{name}"))

    @property
    def files(self) -> list[CheckpointFile]:
        """All files, in the layout's order."""
        return [self.file(name) for name in self.layout.files]

    @property
    def size_bytes(self) -> int:
        """Size of all files together, in bytes."""
        return sum(file.size_bytes for file in self.layout.files.values())

    async def tensor(self, name: str) -> int:
        """Return the index of the tensor with this name.

        Raises: NotFound.
        """
        if (index := self.indices.get(name)) is None:
            near = ", ".join(map(repr, await asyncio.to_thread(self._near, name)))
            shown = repr(name[:MAX_CHARACTERS])
            raise NotFound(f"no tensor {shown}" + (f"; did you mean {near}?" if near else ""))
        return index

    def _near(self, name: str) -> list[str]:
        """Return the names most similar to `name` among the first MAX_CANDIDATES."""
        if len(name) > MAX_CHARACTERS:
            return []
        first = islice(self.indices, MAX_CANDIDATES)
        names = [known for known in first if len(known) <= MAX_CHARACTERS]
        matcher = difflib.SequenceMatcher(b=name)

        def likeness(known: str) -> float:
            matcher.set_seq1(known)
            return matcher.quick_ratio()

        return difflib.get_close_matches(name, heapq.nlargest(MAX_MATCHED, names, likeness), 3)

    def etag(self, what: str) -> str:
        """Return the strong entity tag, with its quotes, of a representation of this checkpoint.

        The id fixes every byte, so the tag is known before any byte is computed. The tag is
        opaque and has 40 hexadecimal digits, because clients take 64 for a SHA-256 of the
        content.
        """
        return f'"{hashlib.sha256(f"{self.id}/{what}".encode()).hexdigest()[:40]}"'

    @locked_cached_property
    def resource(self) -> bytes:
        """Checkpoint resource without links and statistics, as JSON (`Checkpoints.resource`)."""
        return to_json(resource(self.plan))

    @locked_cached_property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors, each counted once."""
        return sum(tensor.nbytes for tensor in self.plan.tensors)

    @locked_cached_property
    def indices(self) -> dict[str, int]:
        """Tensor indices by name and alias."""
        return {
            name: index
            for index, tensor in enumerate(self.plan.tensors)
            for name in (tensor.name, *tensor.aliases)
        }


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """Byte source of one file of a checkpoint, laid out as `file`."""

    checkpoint: Checkpoint
    file: File
    etag: str

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def size_bytes(self) -> int:
        return self.file.size_bytes

    @property
    def is_light(self) -> bool:
        """True unless tensors are read from the store or need many others' elements."""
        checkpoint = self.checkpoint
        is_stored = checkpoint.plan.platform is not None or bool(checkpoint.blobs)
        return not is_stored and checkpoint.evaluator.is_light

    def read(self, start: int, stop: int, out: ByteArray) -> None:
        """Write bytes [start, stop) to `out`, of any alignment."""
        self.checkpoint.evaluator.read(self.file, start, stop, out)

    def cuts(self, start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
        """Cut bytes [start, stop) at blocks of tensors, into spans of about `nbytes`."""
        return cuts(self.file, self.checkpoint.plan.tensors, start, stop, nbytes)

    def whole_tensors(self, start: int, stop: int) -> Sequence[WholeTensor]:
        """Return the whole tensors that bytes [start, stop) depend on."""
        return self.checkpoint.evaluator.whole_tensors_of_bytes(self.file, start, stop)
