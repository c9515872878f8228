"""Attributes that are computed once, by whoever wants them first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 - used as a decorator
    """A property computed at its first use; others who want it of the same object wait.

    `functools.cached_property` has one lock for all objects of a class (Python 3.11): while
    one is being computed, so long nobody has any.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> once[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> once[T] | T:
        if instance is None:
            return self
        kept = instance.__dict__  # What is there under the name comes before this property.
        with kept.setdefault(f"{self._name} lock", threading.Lock()):
            if self._name not in kept:
                kept[self._name] = self._compute(instance)
            found: T = kept[self._name]
        return found

    @classmethod
    def knows(cls, instance: object, name: str) -> bool:
        """Whether `name` of `instance` has been computed."""
        return name in instance.__dict__
