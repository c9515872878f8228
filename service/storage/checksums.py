"""Checksums inside files, which show whether the content is what was written.

A short file is read whole and ends with a line that has the SHA-256 of its content. A long file
is read in parts; after its content it has the digest of each block:

    content | SHA-256 of each block | SHA-256 of (id, length of the content, those digests)

A digest takes 32 bytes, the length 8 bytes, little-endian. SHA-256 runs at 2 GB/s a core.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator

from seedpoint.service.storage.store import Damaged

BLOCK_BYTES = 1 << 20
DIGEST_BYTES = 32
_LINE = re.compile(rb"[0-9a-f]{64}")


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
    digests = BlockDigests()
    for piece in pieces:
        yield piece
        digests.update(piece)
    yield digests.trailer(id_)


class BlockDigests:
    """Digests of the blocks that the pieces of a content form, `size_bytes` until now."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._digests = bytearray()
        self._block = hashlib.sha256()

    def update(self, piece: bytes | memoryview) -> None:
        """Take the next piece."""
        left = memoryview(piece)
        while left:
            part = left[: BLOCK_BYTES - self.size_bytes % BLOCK_BYTES]
            left = left[len(part) :]
            self._block.update(part)
            self.size_bytes += len(part)
            if self.size_bytes % BLOCK_BYTES == 0:
                self._digests += self._block.digest()
                self._block = hashlib.sha256()

    def trailer(self, id_: str) -> bytes:
        """Return what follows the content, once it is complete."""
        digests = bytes(self._digests)
        if self.size_bytes % BLOCK_BYTES:
            digests += self._block.digest()
        return digests + _seal(id_, self.size_bytes, digests)


def trailer_bytes(size_bytes: int) -> int:
    """Return the length of the digests after a content of this length."""
    return DIGEST_BYTES * (-(-size_bytes // BLOCK_BYTES) + 1)


def content_bytes(file_bytes: int) -> int:
    """Return the length of the content of a file with block digests, from the file's own.

    The result is negative for a file that is too short to have any.
    """
    digested_bytes = file_bytes - DIGEST_BYTES  # without the seal
    blocks = -(-digested_bytes // (BLOCK_BYTES + DIGEST_BYTES))
    return digested_bytes - DIGEST_BYTES * blocks


def checked_content(file: memoryview, id_: str, size_bytes: int) -> memoryview:
    """Return the content of a whole file with block digests. Raises Damaged."""
    content = file[:size_bytes]
    *_, trailer = with_block_digests([content], id_)
    if file[size_bytes:] != trailer:
        raise Damaged("its blocks do not have the digests that were written")
    return content


class BlockFile:
    """Content, `size_bytes` long, of a file with block digests.

    Every read gets a block anew and checks it: the file may be damaged, removed and restored at
    any time. Only the digests are kept in memory. Thread-safe.
    """

    def __init__(self, read: Callable[[int, int], bytes], id_: str, size_bytes: int) -> None:
        """Read the digests. `read(start, stop)` returns bytes of the file, fewer at its end.

        Raises: the errors of `read`; Damaged if the file has another length or its digests are
        damaged.
        """
        self.size_bytes = size_bytes
        self._read = read
        nbytes = trailer_bytes(size_bytes)
        trailer = read(size_bytes, size_bytes + nbytes + 1)
        if len(trailer) != nbytes:
            raise Damaged(f"it has not {size_bytes + nbytes} bytes")
        self._digests, seal = trailer[:-DIGEST_BYTES], trailer[-DIGEST_BYTES:]
        if seal != _seal(id_, size_bytes, self._digests):
            raise Damaged("the digests of its blocks are not what was written")

    def read(self, start: int, stop: int) -> bytes | memoryview:
        """Return bytes [start, stop) of the content. Raises Damaged, and the errors of `read`."""
        parts = list(self.parts(start, stop))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def check(self, start: int, stop: int) -> None:
        """Check the blocks of bytes [start, stop) where they are stored. Raises as `read`."""
        for index in range(start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)):
            self._fresh(index)

    def parts(self, start: int, stop: int) -> Iterator[memoryview]:
        """Yield bytes [start, stop) of the content, block by block. Raises as `read`."""
        assert 0 <= start <= stop <= self.size_bytes
        for index in range(start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)):
            first = index * BLOCK_BYTES
            yield memoryview(self._block(index))[max(start - first, 0) : stop - first]

    def _block(self, index: int) -> bytes:
        """Return a block, from memory if this thread read it last: consecutive reads share one."""
        digest = self._digest(index)
        if latest.digest != digest:
            latest.block = self._fresh(index)
            latest.digest = digest
        return latest.block

    def _fresh(self, index: int) -> bytes:
        """Return a block as it is stored."""
        start = index * BLOCK_BYTES
        block = self._read(start, min(start + BLOCK_BYTES, self.size_bytes))
        if hashlib.sha256(block).digest() != self._digest(index):
            raise Damaged(f"bytes {start} to {start + len(block)} of it")
        return block

    def _digest(self, index: int) -> bytes:
        return self._digests[DIGEST_BYTES * index : DIGEST_BYTES * (index + 1)]


class LatestBlock(threading.local):
    """The block that a thread read last, and its digest."""

    digest = b""
    block = b""


latest = LatestBlock()


def _seal(id_: str, size_bytes: int, digests: bytes) -> bytes:
    sealed_bytes = id_.encode() + size_bytes.to_bytes(8, "little") + digests
    return hashlib.sha256(sealed_bytes).digest()
