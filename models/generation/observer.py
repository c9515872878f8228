"""Consumers of values that are being generated."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from seedpoint.models.statistics.accumulator import BLOCK_ELEMENTS


class Observer(Protocol):
    """Consumer of a tensor's final values while they are in cache."""

    def add(self, index: int, raw: npt.NDArray[Any]) -> None:
        """Take the elements from index * BLOCK_ELEMENTS on, as bytes.

        They are whole blocks, except for the tensor's last.
        """


def observe(observer: Observer | None, start: int, piece: npt.NDArray[np.uint8]) -> None:
    """Pass the final values to the observer while they are in cache."""
    if observer is not None:
        observer.add(start // BLOCK_ELEMENTS, piece)
