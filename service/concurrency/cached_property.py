"""Attributes that are computed once, by the first thread that reads them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class locked_cached_property(Generic[T]):  # noqa: N801 - used as a decorator
    """Property computed at its first read; other readers of the same object wait meanwhile.

    `functools.cached_property` has one lock for all objects of a class (Python 3.11), so one
    computation blocks the readers of every object.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> locked_cached_property[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> locked_cached_property[T] | T:
        if instance is None:
            return self
        values = instance.__dict__  # An entry in it under the name shadows this property.
        with values.setdefault(f"{self._name} lock", threading.Lock()):
            if self._name not in values:
                values[self._name] = self._compute(instance)
            value: T = values[self._name]
        return value

    @classmethod
    def is_cached(cls, instance: object, name: str) -> bool:
        """Return whether `name` of `instance` has been computed."""
        return name in instance.__dict__
