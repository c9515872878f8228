"""Models of other libraries as architectures: what one must do to be recorded and issued."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol

from torch import nn

from seedpoint.models.architectures.base import Part
from seedpoint.models.dtypes import DType
from seedpoint.models.errors import Fault


class Recipe(Protocol):
    """A checked model of another library, ready to be made as often as it takes.

    `path` is where the spec says what it is; `dtype` what its library makes it in, `wide` what
    it is recorded in, so that values are rounded to `dtype` once. Floating tensors that its
    code gives another dtype keep that, whatever the spec's default says. `warnings` are of
    what the spec says and the library makes nothing of.
    """

    @property
    def path(self) -> str: ...
    @property
    def dtype(self) -> DType: ...
    @property
    def wide(self) -> DType: ...
    @property
    def warnings(self) -> tuple[Fault, ...]: ...

    def make(self, dtype: DType) -> nn.Module:
        """A new model in `dtype`, its own init run in PyTorch's order. Raises SpecError."""

    def dtypes(self, module: nn.Module, names: Mapping[str, DType]) -> Mapping[str, DType]:
        """Tensors (of `names` -> dtype) that are stored in another dtype than they are made in."""

    def files(self, module: nn.Module) -> Mapping[str, str]:
        """The small text files, by name, that the library reads beside the weights."""


class Foreign(Part):
    """An architecture that another library builds; not a layer inside others."""

    type: str

    def expanded(self) -> Foreign:
        """What this stands for in a canonical spec: itself, but for a preset's name."""
        return self

    @abstractmethod
    def recipe(self, root: str, *, dtype: DType | None, max_modules: int) -> Recipe:
        """The recipe of this architecture, whose path in the spec is `root`.

        `dtype` is the spec's default one, if it says any. Raises SpecError, also where the
        library is not installed, and LimitExceeded.
        """
