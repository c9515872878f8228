"""Interface of models of other libraries: how they are made, recorded and issued."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol

from torch import nn

from seedpoint.models.architectures.base import Layer
from seedpoint.models.dtypes import DType
from seedpoint.models.errors import Fault


class Recipe(Protocol):
    """Checked model of another library, ready to be made any number of times.

    `path` is the place in the spec that defines the model. `dtype` is the dtype that the library
    makes it in; `wide` is the dtype that it is recorded in, so that values are rounded to `dtype`
    once. Floating tensors to which the library's code gives another dtype keep it, whatever the
    spec's default dtype. `warnings` concern parts of the spec that have no effect in the library,
    or another effect than written.
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
        """Return a new model in `dtype`, its own init run in PyTorch's order.

        Raises:
            SpecError: If the library cannot make the model.
        """

    def dtypes(self, module: nn.Module, names: Mapping[str, DType]) -> Mapping[str, DType]:
        """Return the tensors of `names` (name -> made dtype) that are stored in another dtype."""

    def files(self, module: nn.Module) -> Mapping[str, str]:
        """Return the small text files, by name, that the library reads beside the weights."""


class Foreign(Layer):
    """Architecture that another library builds."""

    def expanded(self) -> Foreign:
        """Return the architecture of the canonical spec: a preset's own, else this one."""
        return self

    @abstractmethod
    def recipe(self, root: str, *, dtype: DType | None, max_modules: int) -> Recipe:
        """Return the recipe of this architecture, whose path in the spec is `root`.

        `dtype` is the spec's default dtype, None if the spec does not give one.

        Raises:
            SpecError: If the architecture is invalid or its library is not installed.
            LimitExceeded: For counts of layers above `max_modules`.
        """
