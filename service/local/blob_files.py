"""Blobs in files of this machine: what `--blob FILE` gives to the command line."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from seedpoint.models.files.blobs import BlobTensor, ByteArray
from seedpoint.models.verify.blob_header import blob_head_bytes, blob_tensors
from seedpoint.models.verify.header import LENGTH_BYTES, FileFault
from seedpoint.service.local.checkpoint_files import OpenFile

PIECE_BYTES = 1 << 20  # Read and hashed at a time.


class LocalBlobs:
    """Blobs in open files, by the SHA-256 of their content. Thread-safe.

    A file must not change while it is open: every read checks its size and time. The files close
    with the last reference to this object. A pickled copy opens them again.
    """

    def __init__(
        self, files: Mapping[str, OpenFile] | None = None, closing: ExitStack | None = None
    ) -> None:
        self._files = dict(files or {})
        if closing is not None:
            weakref.finalize(self, closing.close)

    @classmethod
    def of(cls, paths: Iterable[Path]) -> LocalBlobs:
        """Open the files at `paths`, and read each once for its SHA-256.

        Raises: OSError; FileFault for a file that is not a regular one, or changes meanwhile.
        """
        found: dict[str, OpenFile] = {}
        with ExitStack() as stack:
            for path in paths:
                file = stack.enter_context(OpenFile(path))
                found.setdefault(_sha256(file), file)
            return cls(found, stack.pop_all())

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def path(self, sha256: str) -> Path:
        """Return the path of a blob, as it was given."""
        return self._files[sha256].path

    def tensors(self, sha256: str) -> Mapping[str, BlobTensor]:
        if (file := self._files.get(sha256)) is None:
            given = ", ".join(f"{other.path} is {name}" for name, other in self._files.items())
            raise ValueError(
                f"no blob {sha256} is given; on the command line, add --blob FILE, and in Python "
                f"blobs=[FILE]{f' ({given})' if given else ''}"
            )
        prefix = np.empty(min(LENGTH_BYTES, file.size_bytes), np.uint8)
        file.read(0, prefix)
        with file.named():
            head = np.empty(blob_head_bytes(prefix.tobytes(), file.size_bytes), np.uint8)
        self.read(sha256, 0, head)
        with file.named():
            return blob_tensors(head.tobytes(), file.size_bytes)

    def read(self, sha256: str, offset: int, out: ByteArray) -> None:
        """Fill `out` with bytes of the blob from `offset` on.

        Raises: KeyError for an unknown blob; FileFault if the file ends before, or has changed.
        """
        file = self._files[sha256]
        file.read(offset, out)
        file.check_unchanged()

    def __reduce__(self) -> Any:
        return _reopened, ([(name, file.path, file.status) for name, file in self._files.items()],)


def _reopened(named: Iterable[tuple[str, Path, tuple[int, int]]]) -> LocalBlobs:
    files = {}
    with ExitStack() as stack:
        for name, path, status in named:
            files[name] = stack.enter_context(OpenFile(path))
            if files[name].status != status:
                raise FileFault(f"{path}: changed while it was read")
        return LocalBlobs(files, stack.pop_all())


def _sha256(file: OpenFile) -> str:
    digest = hashlib.sha256()
    piece = np.empty(PIECE_BYTES, np.uint8)
    for start in range(0, file.size_bytes, PIECE_BYTES):
        part = piece[: file.size_bytes - start]
        file.read(start, part)
        digest.update(part.data)
    file.check_unchanged()
    return digest.hexdigest()
