"""Phantom tensors: ordinary CPU tensors whose addresses have no memory behind them."""

from __future__ import annotations

import ctypes
import mmap
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_BYTES = 2**47
"""Largest total size in bytes of phantom storages: a process's address space on x86-64."""

# address space reserved at once, in bytes
_CHUNK_BYTES = 1 << 36
# alignment of storages within a chunk
_ALIGNMENT_BYTES = 64
_PROTECTION_NONE = 0  # PROT_NONE, which the mmap module does not define
_FLAGS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Arena:
    """Address space for phantom storages, reserved in large chunks and never reused.

    No memory backs it, so terabytes cost nothing. It can be neither read nor written: an access
    that bypasses the recorder ends the process instead of producing a wrong program. A chunk is
    unmapped when the last tensor in it is gone.
    """

    def __init__(self) -> None:
        self._chunk: ctypes.Array[ctypes.c_ubyte] | None = None
        self._used = 0
        self._held = _Held()

    def tensor(self, size: Sequence[int], stride: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return a tensor with its own storage, just large enough for `size` and `stride`.

        Raises:
            MemoryError: The process may have no more addresses.
        """
        if 0 in size:
            return torch.empty_strided(size, stride, dtype=dtype)
        elements = 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        nbytes = elements * dtype.itemsize
        if self._chunk is None or self._used + nbytes > len(self._chunk):
            self._chunk, self._used = _reserved(max(nbytes, _CHUNK_BYTES), self._held), 0
        flat = torch.frombuffer(self._chunk, dtype=dtype, count=elements, offset=self._used)
        self._used += -(-nbytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        return flat.as_strided(size, stride)


@dataclass(slots=True)
class _Held:
    """Count of the address space, in bytes, that the chunks of an arena hold."""

    nbytes: int = 0

    def give_back(self, address: int, nbytes: int) -> None:
        _libc.munmap(address, nbytes)
        self.nbytes -= nbytes


def _reserved(nbytes: int, held: _Held) -> ctypes.Array[ctypes.c_ubyte]:
    total, failed = held.nbytes + nbytes, (None, ctypes.c_void_p(-1).value)
    fits = total <= MAX_BYTES  # mmap would truncate a larger size to its low bits
    address = _libc.mmap(None, nbytes, _PROTECTION_NONE, _FLAGS, -1, 0) if fits else None
    if address in failed:
        raise MemoryError(
            f"has tensors of about {total} bytes, and perhaps more; at most {MAX_BYTES} are allowed"
        )
    chunk = (ctypes.c_ubyte * nbytes).from_address(address)
    held.nbytes = total
    weakref.finalize(chunk, held.give_back, address, nbytes)
    return chunk
