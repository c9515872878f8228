"""Checksums inside files, which show whether the content is what was written.

A short file is read whole and ends with a line that has the SHA-256 of its content. A long file
is read in parts; after its content it has the digest of each block:

    content | SHA-256 of each block | SHA-256 of (id, length of the content, those digests)

A digest takes 32 bytes, the length 8 bytes, little-endian. SHA-256 runs at 2 GB/s a core.
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
    """A file that is not what was written; the message states the fault."""


# --- short files -----------------------------------------------------------------------


def sealed(content: bytes) -> bytes:
    """Return `content` followed by a line with its SHA-256."""
    return b"%b\n%b" % (content, hashlib.sha256(content).hexdigest().encode())


def unsealed(file: bytes) -> bytes:
    """Return the content of a `sealed` file. Raises Damaged."""
    content, _, line = file.rpartition(b"\n")
    if not _LINE.fullmatch(line):
        raise Damaged("it does not end with a SHA-256")
    check_digest(content, line.decode())
    return content


def check_digest(content: bytes, digest: str) -> None:
    """Raise Damaged unless `digest` is the SHA-256 of `content`, hexadecimal."""
    if (actual := hashlib.sha256(content).hexdigest()) != digest:
        raise Damaged(f"it has the SHA-256 {actual}")


# --- long files ------------------------------------------------------------------------


def with_block_digests(
    pieces: Iterable[bytes | memoryview], id_: str
) -> Iterator[bytes | memoryview]:
    """Yield `pieces`, then the digests of the blocks that they form."""
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
    """Content, `size_bytes` long, of a file with block digests.

    Every read opens the file and checks the block: the file may be damaged, removed and restored
    at any time. Only the digests are kept in memory. Thread-safe.
    """

    def __init__(self, path: Path, id_: str, size_bytes: int) -> None:
        """Read the digests.

        Raises: OSError; Damaged if the file has another length or its digests are damaged.
        """
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
        """Return bytes [start, stop) of the content. Raises Damaged, OSError."""
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
        """Return a block, from memory if this thread read it last: consecutive reads share one."""
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
    """The block that a thread read last, and its digest."""

    digest = b""
    block = b""


_latest = _Latest()


def _seal(id_: str, size_bytes: int, digests: bytes) -> bytes:
    said = id_.encode() + size_bytes.to_bytes(8, "little") + digests
    return hashlib.sha256(said).digest()


def _pread(descriptor: int, offset: int, nbytes: int) -> bytes:
    """Return `nbytes` bytes from `offset` on. Raises Damaged if the file ends first."""
    parts: list[bytes] = []
    while nbytes:
        part = os.pread(descriptor, nbytes, offset)
        if not part:
            raise Damaged(f"it ends at byte {offset}")
        parts.append(part)
        offset, nbytes = offset + len(part), nbytes - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
