"""Zip archive of one tensor as `torch.load` reads it: the bytes before and after its elements.

All entries are stored, and their sizes stand before their content. The CRC-32 of the tensor is 0,
because computing it needs the values; `torch.load` checks none. Format: APPNOTE.TXT 6.3.10 of
PKWARE; `PyTorchStreamReader` of torch.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache

from seedpoint.models.dtypes import DType
from seedpoint.models.files.dcp.tensor_pickle import tensor_pickle

ALIGNMENT_BYTES = 64  # torch.save's: a mapped file gives aligned tensors

_FOLDER = "archive/"
_VERSION = 20  # of the zip format that a reader needs
_ZIP64_VERSION = 45
_TOO_LARGE = 0xFFFFFFFF  # stands for a number that is in a zip64 field
_NO_TIME = (0, 0x21)  # 1980-01-01, the earliest
_ZIP64_ID = 1
_PADDING_ID = b"FB"  # torch.save's


@dataclass(frozen=True, slots=True)
class Archive:
    """File of a tensor of `data_bytes`: the bytes before and after its elements."""

    head: bytes
    tail: bytes
    data_bytes: int

    @property
    def size_bytes(self) -> int:
        return len(self.head) + self.data_bytes + len(self.tail)


@lru_cache(maxsize=1 << 10)
def archive(dtype: DType, shape: tuple[int, ...]) -> Archive:
    """Return the archive of a contiguous tensor, whose elements begin at a multiple of 64."""
    nbytes = math.prod(shape) * dtype.itemsize
    entries = [
        _Entry("data.pkl", tensor_pickle(dtype, shape)),
        _Entry("byteorder", b"little"),
        _Entry("version", b"3\n"),
    ]
    head, directory = b"", b""
    for entry in entries:
        directory += entry.listed(len(head))
        head += entry.local() + entry.content
    data = _Entry("data/0", nbytes=nbytes)
    directory += data.listed(len(head))
    padding = -(len(head) + len(data.local()) + len(_PADDING_ID) + 2) % ALIGNMENT_BYTES
    head += data.local(_PADDING_ID + struct.pack("<H", padding) + b"Z" * padding)
    end = _end(len(entries) + 1, len(directory), len(head) + nbytes)
    return Archive(head, directory + end, nbytes)


class _Entry:
    """Entry of an archive: `content`, or a tensor of `nbytes`."""

    def __init__(self, name: str, content: bytes = b"", nbytes: int | None = None) -> None:
        self._name = (_FOLDER + name).encode()
        self.content = content
        self._nbytes = len(content) if nbytes is None else nbytes
        self._is_large = self._nbytes >= _TOO_LARGE

    def local(self, extra: bytes = b"") -> bytes:
        """Return the header before the content (section 4.3.7)."""
        extra = self._zip64() + extra
        lengths = struct.pack("<HH", len(self._name), len(extra))
        return b"PK\3\4" + self._description() + lengths + self._name + extra

    def listed(self, offset: int) -> bytes:
        """Return the header in the central directory (section 4.3.12)."""
        extra = self._zip64()
        version = struct.pack("<H", _ZIP64_VERSION if self._is_large else _VERSION)
        lengths = struct.pack("<HHHHHII", len(self._name), len(extra), 0, 0, 0, 0, offset)
        return b"PK\1\2" + version + self._description() + lengths + self._name + extra

    def _description(self) -> bytes:
        version = _ZIP64_VERSION if self._is_large else _VERSION
        size = _TOO_LARGE if self._is_large else self._nbytes
        return struct.pack(
            "<HHHHHIII", version, 0, 0, *_NO_TIME, zlib.crc32(self.content), size, size
        )

    def _zip64(self) -> bytes:
        """Return the extra field with a size that takes 64 bits (section 4.5.3)."""
        if not self._is_large:
            return b""
        return struct.pack("<HHQQ", _ZIP64_ID, 16, self._nbytes, self._nbytes)


def _end(count: int, size: int, offset: int) -> bytes:
    """Return the end of the central directory (sections 4.3.14 to 4.3.16)."""
    zip64 = b""
    if offset >= _TOO_LARGE:
        zip64 = b"PK\6\6" + struct.pack(
            "<QHHIIQQQQ", 44, _ZIP64_VERSION, _ZIP64_VERSION, 0, 0, count, count, size, offset
        )
        zip64 += b"PK\6\7" + struct.pack("<IQI", 0, offset + size, 1)
        offset = _TOO_LARGE
    return zip64 + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, size, offset, 0)
