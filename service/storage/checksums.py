"""Seals: digests in a file that tell whether the rest of it is what was written.

A short file is read whole, and sealed by a last line. A long one is read in parts, and has
the digest of each block after its content:

    content | SHA-256 of each block | SHA-256 of (id, length of the content, those digests)

32 bytes a digest; the length is 8 bytes, little-endian. SHA-256 runs at 2 GB/s a core.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

BLOCK_BYTES = 1 << 20
DIGEST_BYTES = 32
_LINE = re.compile(rb"[0-9a-f]{64}")


class Damaged(Exception):
    """A file that is not what was written; the message says how."""


# --- short files -----------------------------------------------------------------------


def sealed(content: bytes) -> bytes:
    """`content` and a last line with its SHA-256."""
    return b"%b\n%b" % (content, hashlib.sha256(content).hexdigest().encode())


def unsealed(file: bytes) -> bytes:
    """The inverse of `sealed`. Raises Damaged."""
    content, _, line = file.rpartition(b"\n")
    if not _LINE.fullmatch(line):
        raise Damaged("it does not end with a SHA-256")
    check_digest(content, line.decode())
    return content


def check_digest(content: bytes, digest: str) -> None:
    """Raises Damaged unless `digest` is the SHA-256 of `content`, hexadecimal."""
    if (actual := hashlib.sha256(content).hexdigest()) != digest:
        raise Damaged(f"it has the SHA-256 {actual}")


# --- long files ------------------------------------------------------------------------


def with_block_digests(
    pieces: Iterable[bytes | memoryview], id_: str
) -> Iterator[bytes | memoryview]:
    """`pieces`, and after them the digests of the blocks that they make up."""
    digests, size_bytes, block = b"", 0, hashlib.sha256()
    for piece in pieces:
        yield piece
        left = memoryview(piece)
        while left:
            part = left[: BLOCK_BYTES - size_bytes % BLOCK_BYTES]
            left = left[len(part) :]
            block.update(part)
            size_bytes += len(part)
            if size_bytes % BLOCK_BYTES == 0:
                digests, block = digests + block.digest(), hashlib.sha256()
    if size_bytes % BLOCK_BYTES:
        digests += block.digest()
    yield digests + _seal(id_, size_bytes, digests)


class BlockFile:
    """The content, `size_bytes` long, of a file with block digests.

    A block is checked whenever it is read, and the file opened for it: it may be damaged at
    any time, go, and come again. Only the digests are held. Thread-safe.
    """

    def __init__(self, path: Path, id_: str, size_bytes: int) -> None:
        """Raises OSError, and Damaged for a file of another length or whose seal is broken."""
        self.path = path
        self.size_bytes = size_bytes
        count = -(-size_bytes // BLOCK_BYTES)
        trailer_bytes = DIGEST_BYTES * (count + 1)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if (found := os.fstat(descriptor).st_size) != size_bytes + trailer_bytes:
                raise Damaged(f"it has {found} bytes, not {size_bytes + trailer_bytes}")
            trailer = _pread(descriptor, size_bytes, trailer_bytes)
        finally:
            os.close(descriptor)
        self._digests, seal = trailer[:-DIGEST_BYTES], trailer[-DIGEST_BYTES:]
        if seal != _seal(id_, size_bytes, self._digests):
            raise Damaged("the digests of its blocks are not what was written")

    def read(self, start: int, stop: int) -> bytes | memoryview:
        """Bytes [start, stop) of the content. Raises Damaged and OSError."""
        assert 0 <= start <= stop <= self.size_bytes
        blocks = range(start // BLOCK_BYTES, -(-stop // BLOCK_BYTES))
        parts = [
            memoryview(self._block(index))[
                max(start - index * BLOCK_BYTES, 0) : stop - index * BLOCK_BYTES
            ]
            for index in blocks
        ]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _block(self, index: int) -> bytes:
        """A block, from memory if this thread has just read it: consecutive reads share one."""
        digest = self._digests[DIGEST_BYTES * index : DIGEST_BYTES * (index + 1)]
        if _latest.digest == digest:
            return _latest.block
        block = self._read(index)
        if hashlib.sha256(block).digest() != digest:
            raise Damaged(
                f"bytes {index * BLOCK_BYTES} to {index * BLOCK_BYTES + len(block)} of it"
            )
        _latest.digest, _latest.block = digest, block
        return block

    def _read(self, index: int) -> bytes:
        offset = index * BLOCK_BYTES
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _pread(descriptor, offset, min(BLOCK_BYTES, self.size_bytes - offset))
        finally:
            os.close(descriptor)


class _Latest(threading.local):
    """The block that a thread has read last, by its digest."""

    digest = b""
    block = b""


_latest = _Latest()


def _seal(id_: str, size_bytes: int, digests: bytes) -> bytes:
    said = id_.encode() + size_bytes.to_bytes(8, "little") + digests
    return hashlib.sha256(said).digest()


def _pread(descriptor: int, offset: int, nbytes: int) -> bytes:
    """`nbytes` from `offset` on. Raises Damaged when there are not so many."""
    parts: list[bytes] = []
    while nbytes:
        part = os.pread(descriptor, nbytes, offset)
        if not part:
            raise Damaged(f"it ends at byte {offset}")
        parts.append(part)
        offset, nbytes = offset + len(part), nbytes - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
