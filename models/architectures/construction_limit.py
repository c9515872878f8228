"""Limit on the modules that a constructor of another library makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from unittest import mock

from torch import nn

from seedpoint.models.errors import LimitExceeded


@contextmanager
def at_most(limit: int, path: str) -> Iterator[None]:
    """Raise LimitExceeded at `path` as soon as the block makes more than `limit` modules.

    A config does not state how many modules it makes, and a million of them take minutes to make.
    """
    original, made = nn.Module.__init__, 0

    @wraps(original)
    def counted(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        nonlocal made
        made += 1
        if made > limit:
            raise LimitExceeded.at(path, f"would make more than {limit} modules, the most allowed")
        original(self, *args, **kwargs)

    with mock.patch.object(nn.Module, "__init__", new=counted):
        yield
