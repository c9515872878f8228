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


Needed = WholeMatrix | WholeCuts


def _unpacked(raw: Raw, columns: int) -> cuts.Cuts:
    return cuts.Cuts(0, raw[8 * columns :].view(np.uint32), raw[: 8 * columns].view(np.int64))


# --- caches --------------------------------------------------------------------------


class Cache(Protocol):
    """Cache of whole tensors, keyed by their description."""

    def get(self, key: Needed, make: Callable[[], Raw]) -> Raw:
        """Return the value under `key`; if missing, `make` it while other callers wait."""


class Memory:
    """LRU cache in memory of at most `max_bytes`; the newest entry always stays."""

    def __init__(self, max_bytes: int, nbytes: Callable[[Any], int]) -> None:
        self._max_bytes = max_bytes
        self._nbytes = nbytes
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._flights = Flights()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value under `key`; if missing, `make` it once, however many callers ask."""
        found: T | None = self.find(key)
        return self._flights.join(key, lambda: self._made(key, make)) if found is None else found

    def find(self, key: Hashable) -> Any:
        """Return the value under `key`; None when there is none."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _made(self, key: Hashable, make: Callable[[], T]) -> T:
        # Another thread may have stored it since the first lookup.
        found: T | None = self.find(key)
        if found is not None:
            return found
        value = make()
        with self._lock:
            self._kept[key] = value
            self._size += self._nbytes(value)
            while self._size > self._max_bytes and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._size -= self._nbytes(oldest)
        return value


class Flights:
    """Single flight: one thread does the work that several threads request at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, Future[Any]] = {}

    def join(self, key: Hashable, work: Callable[[], T]) -> T:
        """Return the result of `work`, or of the same work in progress; errors propagate."""
        with self._lock:
            flight: Future[T] | None = self._under_way.get(key)
            if own := flight is None:
                flight = self._under_way[key] = Future()
        assert flight is not None
        if own:
            try:
                flight.set_result(work())
            except BaseException as error:  # noqa: BLE001 - whoever waits must be told
                flight.set_exception(error)
            finally:
                with self._lock:
                    del self._under_way[key]
        return flight.result()


class Wholes:
    """Whole tensors of the stream, each computed once. Thread-safe.

    `cache` keeps them, by default in memory; `each` spreads the work of one tensor over threads.
    """

    def __init__(self, cache: Cache | None = None, *, each: Each = serial) -> None:
        self._cache = cache or Memory(MAX_BYTES, len)
        self._each = each

    def matrix(self, needed: WholeMatrix) -> Floats:
        """Return all elements, one-dimensional and row-major."""
        return self._get(needed).view(np.float32)

    def cuts(self, needed: WholeCuts) -> cuts.Cuts:
        """Return the cuts of every column."""
        return _unpacked(self._get(needed), needed.shape[1])

    def _get(self, needed: Needed) -> Raw:
        return self._cache.get(needed, lambda: needed.make(self._each))
