"""What is computed whole, once, and then read in ranges: orthogonal matrices, sparse cuts."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from models.stream import cuts, whole
from models.stream.cpu import Key
from models.stream.each import Each, serial

Floats = npt.NDArray[np.float32]
Shape = tuple[int, ...]
T = TypeVar("T")

MAX_BYTES = 1 << 30
CUTS_MAX_BYTES = 1 << 26


class Cache(Protocol):
    """Keeps arrays that cost much to make, each under what it was made from."""

    def get(self, key: tuple[Hashable, ...], make: Callable[[], Floats]) -> Floats:
        """The array under `key`, made when it is not there; others who want it wait."""


class Memory:
    """A cache in memory of at most `max_bytes`; the least recently used goes first."""

    def __init__(self, max_bytes: int, nbytes: Callable[[Any], int]) -> None:
        self._max_bytes = max_bytes
        self._nbytes = nbytes
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._flights = Flights()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept under `key`, made (once, however many ask) when it is not."""
        found: T | None = self._find(key)
        return self._flights.join(key, lambda: self._made(key, make)) if found is None else found

    def _find(self, key: Hashable) -> Any:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _made(self, key: Hashable, make: Callable[[], T]) -> T:
        # Another flight may have landed since we looked.
        found: T | None = self._find(key)
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
    """Work that several threads may want at once, and one does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, Future[Any]] = {}

    def join(self, key: Hashable, work: Callable[[], T]) -> T:
        """The result of `work`, or of whoever is at the same already; raises what it raises."""
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

    `cache` keeps orthogonal matrices, in memory unless given; `each` spreads the work of
    one over threads.
    """

    def __init__(self, cache: Cache | None = None, *, each: Each = serial) -> None:
        self._cache = cache or Memory(MAX_BYTES, lambda array: int(array.nbytes))
        self._cuts = Memory(CUTS_MAX_BYTES, lambda found: 12 * len(found.words))
        self._each = each

    def orthogonal(self, key: Key, draw: int, shape: Shape, gain: float) -> Floats:
        """All elements of `orthogonal(gain)`, float32, one-dimensional and row-major."""
        made_from = ("orthogonal", key, draw, shape, float(gain).hex())

        def make() -> Floats:
            return whole.orthogonal(key, draw, shape, gain, each=self._each).reshape(-1)

        return self._cache.get(made_from, make)

    def cuts(self, key: Key, draw: int, shape: tuple[int, int], sparsity: float) -> cuts.Cuts:
        """The cuts of every column of `sparse(sparsity)`, whose values are draw `draw`."""
        zeros = cuts.zeros_per_column(shape[0], sparsity)

        def make() -> cuts.Cuts:
            return cuts.find_cuts(key, draw + 1, shape, zeros, each=self._each)

        return self._cuts.get((key, draw, shape, zeros), make)
