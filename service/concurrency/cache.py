"""Weighted cache that evicts the least recently used values."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LRU(Generic[K, V]):
    """Least-recently-used cache of up to `capacity` total weight. Belongs to one thread.

    The latest value is always kept, even if it exceeds the capacity alone.
    """

    def __init__(self, capacity: int, weigh: Callable[[V], int] = lambda _: 1) -> None:
        self._capacity = capacity
        self._weigh = weigh
        self._weight = 0
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """Return the value of `key`, or None, and mark it as the latest used."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        self.drop(key)
        self._values[key] = value
        self._weight += self._weigh(value)
        while self._weight > self._capacity and len(self._values) > 1:
            _, oldest = self._values.popitem(last=False)
            self._weight -= self._weigh(oldest)

    def items(self) -> list[tuple[K, V]]:
        """Return all items, the least recently used first, without marking any as used."""
        return list(self._values.items())

    def drop(self, key: K) -> None:
        """Remove `key` if it is present."""
        if (value := self._values.pop(key, None)) is not None:
            self._weight -= self._weigh(value)
