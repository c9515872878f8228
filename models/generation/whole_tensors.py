"""Whole tensors, computed once and then read in ranges: orthogonal matrices, sparse cuts."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from seedpoint.models.stream import cuts, orthogonal
from seedpoint.models.stream.cpu import Key
from seedpoint.models.stream.orthogonal import Cost
from seedpoint.models.stream.parallel import Each, serial

Floats = npt.NDArray[np.float32]
Raw = npt.NDArray[np.uint8]
"""Whole tensor as bytes, little-endian, aligned for 8-byte numbers."""
Shape = tuple[int, ...]
T = TypeVar("T")

# default size of the cache in memory, in bytes
MAX_BYTES = 1 << 30
WORD_OPERATIONS = 40  # QR operations that take about as long as one word of Philox


# --- kinds of whole tensors --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WholeMatrix:
    """All elements of `orthogonal(gain)`: float32, row-major.

    `gain` is in the form of `float.hex`, because 0.0 and -0.0 are equal but give different bits.
    """

    kind: ClassVar[str] = "orthogonal"
    key: Key
    draw: int
    shape: Shape
    gain: str

    @property
    def nbytes(self) -> int:
        return 4 * math.prod(self.shape)

    def cost(self, threads: int = 1) -> Cost:
        """Return the cost of the computation, which is the same on any number of threads."""
        return orthogonal.orthogonal_cost(self.shape)

    def make(self, each: Each = serial) -> Raw:
        gain = float.fromhex(self.gain)
        made = orthogonal.orthogonal(self.key, self.draw, self.shape, gain, each=each)
        return made.reshape(-1).view(np.uint8)


@dataclass(frozen=True, slots=True)
class WholeCuts:
    """Cuts of every column of `sparse`, with `zeros` in each; `draw` is the draw of its values.

    As bytes: the rows (int64) of all cuts, then their words (uint32).
    """

    kind: ClassVar[str] = "sparse"
    key: Key
    draw: int
    shape: tuple[int, int]
    zeros: int

    @property
    def nbytes(self) -> int:
        return 12 * self.shape[1]

    def cost(self, threads: int = 1) -> Cost:
        """Return the cost of the computation on `threads` threads, which all keep ranks."""
        rows, columns = self.shape
        room = 9 * math.isqrt(rows) + 200
        kept = 8 * min(max(cuts.KEPT_RANKS, cuts.NARROWEST * room), columns * room)
        return Cost(2 * self.nbytes + threads * kept, WORD_OPERATIONS * rows * columns)

    def make(self, each: Each = serial) -> Raw:
        found = cuts.find_cuts(self.key, self.draw + 1, self.shape, self.zeros, each=each)
        raw = np.empty(self.nbytes, np.uint8)
        there = _unpacked(raw, self.shape[1])
        there.rows[:], there.words[:] = found.rows, found.words
        return raw


WholeTensor = WholeMatrix | WholeCuts
"""Description of a whole tensor: what it is computed from, and hence its identity."""


def _unpacked(raw: Raw, columns: int) -> cuts.Cuts:
    return cuts.Cuts(0, raw[8 * columns :].view(np.uint32), raw[: 8 * columns].view(np.int64))


# --- caches --------------------------------------------------------------------------

ENTRY_BYTES = 1500  # memory of an entry of `MemoryCache` beside its tensor


def entry_bytes(tensor: Raw) -> int:
    """Return the memory that `MemoryCache` takes for a tensor, most of it overhead if tiny."""
    return len(tensor) + ENTRY_BYTES


class Cache(Protocol):
    """Cache of whole tensors, keyed by their description."""

    def get(self, key: WholeTensor, make: Callable[[], Raw]) -> Raw:
        """Return the value under `key`; if missing, `make` it while other callers wait."""


class MemoryCache:
    """LRU cache in memory of at most `max_bytes`; the newest entry always stays. Thread-safe.

    All threads that ask for a missing value at once share one computation.
    """

    def __init__(self, max_bytes: int, nbytes: Callable[[Any], int]) -> None:
        self._max_bytes = max_bytes
        self._nbytes = nbytes
        self._entries: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._size = 0  # In bytes, of the entries that are done.
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value under `key`; if missing, `make` it once, however many callers ask.

        An error of `make` reaches all of them, and nothing is kept.
        """
        with self._lock:
            entry: Future[T] | None = self._entries.get(key)
            if is_new := entry is None:
                entry = self._entries[key] = Future()
            self._entries.move_to_end(key)
        assert entry is not None
        if is_new:
            self._fill(key, entry, make)
        return entry.result()

    def find(self, key: Hashable) -> Any:
        """Return the value under `key`; None when there is none."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or not entry.done():
                return None
            self._entries.move_to_end(key)
            return entry.result()

    def _fill(self, key: Hashable, entry: Future[T], make: Callable[[], T]) -> None:
        try:
            value = make()
        except BaseException as error:  # noqa: BLE001 - whoever waits must be told
            with self._lock:
                del self._entries[key]
            entry.set_exception(error)
            return
        with self._lock:
            entry.set_result(value)
            self._size += self._nbytes(value)
            self._evict(key)

    def _evict(self, newest: Hashable) -> None:
        """Remove the oldest entries until the rest fit, looking at few others."""
        excess = self._size - self._max_bytes
        leaving: list[Hashable] = []
        for key, entry in self._entries.items():
            if excess <= 0:
                break
            if entry.done() and key != newest:
                leaving.append(key)
                excess -= self._nbytes(entry.result())
        for key in leaving:
            self._size -= self._nbytes(self._entries.pop(key).result())


class Wholes:
    """Whole tensors of the stream, each computed once. Thread-safe.

    `cache` keeps them, by default in memory; `each` spreads the work of one tensor over threads.
    """

    def __init__(self, cache: Cache | None = None, *, each: Each = serial) -> None:
        self._cache = cache or MemoryCache(MAX_BYTES, entry_bytes)
        self._each = each

    def matrix(self, whole: WholeMatrix) -> Floats:
        """Return all elements, one-dimensional and row-major."""
        return self._get(whole).view(np.float32)

    def cuts(self, whole: WholeCuts) -> cuts.Cuts:
        """Return the cuts of every column."""
        return _unpacked(self._get(whole), whole.shape[1])

    def _get(self, whole: WholeTensor) -> Raw:
        return self._cache.get(whole, lambda: whole.make(self._each))
