"""SHA-256 of a file and of the tensors in it, of the same bytes as they pass once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from seedpoint.models.files.layout import File

Readable = bytes | bytearray | memoryview


class FileDigests:
    """Takes the bytes of `file` in their order.

    Every stored tensor, a copy under an alias too, has the digest of its own bytes:
    little-endian elements, row-major. At about 2 GB/s for each of the two.
    """

    def __init__(self, file: File) -> None:
        self._file = file
        self._at = 0
        self._whole = hashlib.sha256()
        self._tensors = {entry.name: hashlib.sha256() for entry in file.entries}

    def update(self, chunk: Readable) -> None:
        """The bytes that come next."""
        view = memoryview(chunk)
        start, stop = self._at, self._at + len(view)
        self._at = stop
        self._whole.update(view)
        for entry, first, last in self._file.within(start, stop):
            self._tensors[entry.name].update(view[first - start : last - start])

    @property
    def whole(self) -> str:
        """The file's, hexadecimal. Raises ValueError when not every byte has come."""
        self._check()
        return self._whole.hexdigest()

    @property
    def tensors(self) -> Mapping[str, str]:
        """Those of the stored tensors by name, hexadecimal. Raises ValueError as `whole` does."""
        self._check()
        return {name: digest.hexdigest() for name, digest in self._tensors.items()}

    def _check(self) -> None:
        if self._at != self._file.size_bytes:
            raise ValueError(f"{self._at} of {self._file.size_bytes} bytes of {self._file.name}")
