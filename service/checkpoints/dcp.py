"""Checkpoints as directories of torch.distributed.checkpoint, whose files are byte sources."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from seedpoint.models.files.dcp.directory import METADATA, DcpDirectory, DcpFile
from seedpoint.models.files.dcp.metadata import metadata
from seedpoint.models.files.layout import File
from seedpoint.models.generation import dcp_files
from seedpoint.models.generation.evaluator import ByteArray
from seedpoint.models.generation.whole_tensors import WholeTensor
from seedpoint.service.checkpoints.checkpoint import Checkpoint, CheckpointFile
from seedpoint.service.checkpoints.dcp_options import DcpOptions
from seedpoint.service.concurrency.admission import Admission
from seedpoint.service.concurrency.cache import LatestCache
from seedpoint.service.concurrency.single_flight import SingleFlight
from seedpoint.service.errors import NotFound

LAYOUT_TENSORS = 200_000  # Cached layouts, in tensors of about 0.5 KB.
METADATA_BYTES = 64 << 20  # Cached `.metadata`: three of the largest, hundreds of common ones.
METADATA_AT_ONCE = 1  # `.metadata` written at once: the largest takes seconds and 500 MB.
MAX_CHARACTERS = 100  # Longest name that a message quotes.

_Key = tuple[str, DcpOptions]


@dataclass(frozen=True, slots=True)
class OpenDirectory:
    """Directory of a checkpoint, ready to be read."""

    checkpoint: Checkpoint
    options: DcpOptions
    layout: DcpDirectory

    def chunk(self, name: str) -> ChunkFile:
        """Return the file of a chunk.

        Raises: NotFound.
        """
        if (file := self.layout.file(name)) is None:
            last = len(self.layout) - 1
            raise NotFound(
                f"no file {name[:MAX_CHARACTERS]!r} in this directory; it has {METADATA}"
                + (f" and __0_0.distcp to __{last}_0.distcp" if last >= 0 else "")
            )
        etag = self.checkpoint.etag(f"dcp/{self.options.canonical}/{name}")
        return ChunkFile(self.checkpoint, file, etag)


@dataclass(frozen=True, slots=True)
class ChunkFile:
    """Byte source of the file of one chunk."""

    checkpoint: Checkpoint
    file: DcpFile
    etag: str

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def size_bytes(self) -> int:
        return self.file.size_bytes

    @property
    def is_light(self) -> bool:
        """True if the elements are side by side in their tensor, and not read from the store."""
        return not self.file.window.axes and self.checkpoint.plan.platform is None

    def read(self, start: int, stop: int, out: ByteArray) -> None:
        """Write bytes [start, stop) to `out`, of any alignment."""
        dcp_files.read(self.checkpoint.evaluator, self.file, start, stop, out)

    def cuts(self, start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
        """Cut bytes [start, stop) into spans of about `nbytes`, or fewer if they are costly."""
        return dcp_files.cuts(self.checkpoint.evaluator, self.file, start, stop, nbytes)

    def whole_tensors(self, start: int, stop: int) -> Sequence[WholeTensor]:
        """Return the whole tensors that bytes [start, stop) depend on."""
        return dcp_files.whole_tensors(self.checkpoint.evaluator, self.file, start, stop)


class DcpDirectories:
    """Opener of directories, which keeps the latest layouts and `.metadata` files.

    It holds no checkpoint, so that retention can remove one. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._layouts: LatestCache[_Key, DcpDirectory] = LatestCache(
            LAYOUT_TENSORS, lambda layout: 1 + len(layout.tensors)
        )
        self._indices: LatestCache[_Key, _Index] = LatestCache(
            METADATA_BYTES, lambda index: len(index.content)
        )
        self._opening: SingleFlight[_Key, DcpDirectory] = SingleFlight()
        self._writing: SingleFlight[_Key, _Index] = SingleFlight()
        self._writers = Admission(METADATA_AT_ONCE)

    async def open(self, checkpoint: Checkpoint, options: DcpOptions) -> OpenDirectory:
        """Return a checkpoint's directory with these options. Raises SpecError."""
        key = checkpoint.id, options
        if (layout := self._layouts.get(key)) is None:
            make = partial(asyncio.to_thread, options.directory, checkpoint.plan.tensors)
            layout = self._layouts[key] = await self._opening.join(key, make)
        return OpenDirectory(checkpoint, options, layout)

    async def file(self, directory: OpenDirectory, name: str) -> ChunkFile | CheckpointFile:
        """Return a file of a directory. Raises NotFound."""
        return await self._index(directory) if name == METADATA else directory.chunk(name)

    async def _index(self, directory: OpenDirectory) -> CheckpointFile:
        checkpoint, key = directory.checkpoint, (directory.checkpoint.id, directory.options)
        if (index := self._indices.get(key)) is None:
            write = partial(self._write, directory.layout, checkpoint.id)
            index = self._indices[key] = await self._writing.join(key, write)
        etag = checkpoint.etag(f"dcp/{index.digest}")
        return CheckpointFile(checkpoint, File(METADATA, index.content), etag)

    async def _write(self, layout: DcpDirectory, id_: str) -> _Index:
        async with self._writers.slot():
            return await asyncio.to_thread(_Index.of, layout, id_)


@dataclass(frozen=True, slots=True)
class _Index:
    """Content of `.metadata`, and its SHA-256: it differs between versions of torch."""

    content: bytes
    digest: str

    @classmethod
    def of(cls, layout: DcpDirectory, id_: str) -> _Index:
        content = metadata(layout, id_)
        return cls(content, hashlib.sha256(content).hexdigest())
