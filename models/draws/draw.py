"""Base of all draws: random elements that the stream computes one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import Self

from seedpoint.models.draws.standard import Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Draw of the stream, by its arguments as they were given, which subclasses hold.

    `f32` are the constants of the stream's formula, resolved once and each rounded to binary32;
    they are never computed again from the arguments. `draw` is the number of the draw, `stream` the
    name of its stream (None: the tensor's own).
    """

    f32: tuple[float, ...]
    draw: int = 0
    stream: str | None = None

    type: ClassVar[str]
    constants: ClassVar[int]
    """Length of `f32`."""
    recorded: ClassVar[Mapping[str, slice]] = {}
    """PyTorch operations that are this draw, with the place of `of`'s arguments among theirs."""
    in_numpy: ClassVar[bool] = True
    """True if generator `numpy` has it."""

    @classmethod
    def of(cls, *arguments: Any, **place: Any) -> Self:
        """Return the draw of these arguments with its constants resolved.

        Raises:
            ValueError: The stream does not have the draw.
        """
        raise NotImplementedError

    @property
    def line(self) -> Line:
        """Law of the elements."""
        raise NotImplementedError

    @property
    def reach(self) -> float:
        """Bound of all magnitudes."""
        raise NotImplementedError

    def fill(self, value: torch.Tensor) -> None:
        """Fill `value` as a PyTorch script does, from torch's own generator."""
        raise NotImplementedError

    def sample(
        self, generator: np.random.RandomState, shape: tuple[int, ...]
    ) -> NDArray[np.float64]:
        """Return values of `shape` as a NumPy script draws them."""
        raise NotImplementedError
