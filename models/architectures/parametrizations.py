"""Parametrizations: tensors of a layer that torch computes from others, under torch's names."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from torch import nn
from torch.nn.utils import parametrizations

from seedpoint.models.architectures.base import Name, Number, SpecPart, integer


class Parametrization(SpecPart):
    """Function of torch that replaces a tensor by the tensors it is computed from."""

    type: str

    @abstractmethod
    def register(self, module: nn.Module, name: str) -> None:
        """Parametrize the tensor `name` of `module`."""


class WeightNorm(Parametrization):
    """Weight normalization: `original0` holds norms of `original1`, the tensor as constructed."""

    type: Literal["weight_norm"]
    dim: integer() | None = Field(  # type: ignore[valid-type]
        default=0, description="Dimension that keeps its norms; null for one norm of all."
    )

    def register(self, module: nn.Module, name: str) -> None:
        parametrizations.weight_norm(module, name, dim=-1 if self.dim is None else self.dim)


class SpectralNorm(Parametrization):
    """Spectral normalization: `original` is the tensor, `0._u` and `0._v` its singular vectors."""

    type: Literal["spectral_norm"]
    n_power_iterations: integer(1) = 1  # type: ignore[valid-type]
    eps: Number = 1e-12
    dim: integer() | None = Field(  # type: ignore[valid-type]
        default=None,
        description="Dimension of the outputs; by default 1 for transposed convolutions, else 0.",
    )

    def register(self, module: nn.Module, name: str) -> None:
        parametrizations.spectral_norm(
            module, name, self.n_power_iterations, eps=self.eps, dim=self.dim
        )


def _named(value: Any) -> Any:
    """Return a parametrization; its name alone, also with torch's prefix, has the defaults."""
    if isinstance(value, str):
        value = {"type": value}
    if not isinstance(value, dict) or not isinstance(kind := value.get("type"), str):
        return value
    return {**value, "type": kind.removeprefix(f"{parametrizations.__name__}.")}


Parametrizations = dict[
    Name,
    Annotated[WeightNorm | SpectralNorm, Field(discriminator="type"), BeforeValidator(_named)],
]


def field() -> Any:
    """Return the field of a layer whose tensors may be parametrized."""
    return Field(
        default={},
        description="Tensor of this layer -> its parametrization; the names of the tensors become "
        "`parametrizations.weight.original0` and so on.",
        examples=[{"weight": {"type": "weight_norm", "dim": 0}}],
    )


def count_modules(parametrized: int) -> int:
    """Return the number of modules that `parametrized` tensors add to a layer."""
    return 1 + 2 * parametrized if parametrized else 0
