"""Presets as architectures: the name of a preset, and overrides of its config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from torch import nn

from seedpoint.models import presets
from seedpoint.models.architectures.base import Name
from seedpoint.models.architectures.external_models import Foreign, Recipe
from seedpoint.models.architectures.huggingface import Transformers
from seedpoint.models.architectures.opaque_json import exact
from seedpoint.models.architectures.vision import Timm, Torchvision
from seedpoint.models.dtypes import DType
from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.validation.faults import join

_TYPES: Mapping[str, type[Foreign]] = {
    "transformers": Transformers,
    "timm": Timm,
    "torchvision": Torchvision,
}
_OTHER_TYPE = (
    "use a preset of that model type, or write the config as a `transformers` architecture"
)


def _known(name: str) -> str:
    try:
        return presets.resolve(name)
    except presets.UnknownPreset as error:
        raise PydanticCustomError("unknown_preset", "{why}", {"why": str(error)}) from None


class Preset(Foreign):
    """Model given by the name of its preset (`GET /v1/presets`)."""

    example: ClassVar[Mapping[str, Any]] = {
        "name": "llama-tiny",
        "overrides": {"num_hidden_layers": 4},
    }

    type: Literal["preset"]
    name: Annotated[Name, AfterValidator(_known)] = Field(
        description="Name of a preset, or the id on the Hub of the model that it is; "
        "`GET /v1/presets` lists them.",
        examples=["llama-tiny"],
    )
    overrides: Annotated[dict[Name, Any], AfterValidator(exact)] = Field(
        default={},
        description="Fields of the preset's config, or arguments, to change; an object is merged "
        "into an object.",
        examples=[{"num_hidden_layers": 4}],
    )

    @property
    def child_name(self) -> None:
        """None: `name` is the preset's, so a container names this child by key or index."""
        return None

    def expanded(self) -> Foreign:
        """Return the architecture that the preset and its overrides stand for."""
        document = presets.overridden(presets.get(self.name).architecture, self.overrides)
        tie = {"tie": self.tie} if self.tie else {}
        return _TYPES[document["type"]].model_validate(document | tie)

    def recipe(self, root: str, *, dtype: DType | None, max_modules: int) -> Recipe:
        """Return the recipe of the architecture that the preset stands for.

        Raises:
            SpecError: If the architecture is invalid or its library is not installed.
            LimitExceeded: For counts of layers above `max_modules`.
        """
        places = _Places(root, self)
        self._check_model_type(root)
        try:
            inner = self.expanded().recipe(root, dtype=dtype, max_modules=max_modules)
        except SpecError as error:
            raise places.translated(error) from None
        return _PresetRecipe(inner, places)

    def _check_model_type(self, root: str) -> None:
        config = presets.get(self.name).architecture.get("config", {})
        own, other = config.get("model_type"), self.overrides.get("model_type")
        if own is not None and "model_type" in self.overrides and other != own:
            message = f"the preset's fields are those of {own!r}; {_OTHER_TYPE}"
            raise SpecError.at(join(root, "overrides", "model_type"), message)


@dataclass(frozen=True, slots=True)
class _Places:
    """Map from places in a preset's architecture to places in the spec."""

    root: str
    preset: Preset

    def of(self, path: str) -> str:
        """Return the place in the spec of `path`: in an override, else the preset's name."""
        within = path.removeprefix(self.root)
        if within.startswith(".overrides"):
            return path  # already translated
        for place in presets.PLACES.values():
            inner = within.removeprefix(f".{place}")
            if inner == within:
                continue
            first = re.match(r"\.([^.\[]+)", inner)
            if first is not None and first[1] in self.preset.overrides:
                return f"{join(self.root, 'overrides')}{inner}"
            if not inner and self.preset.overrides:
                return join(self.root, "overrides")
        return join(self.root, "name") if within else self.root

    def translated(self, error: SpecError) -> SpecError:
        """Return the error with its faults at their places in the spec."""
        return type(error)(map(self.moved, error.faults))

    def moved(self, fault: Fault) -> Fault:
        """Return the fault at its place in the spec."""
        return Fault(self.of(fault.path), fault.message)


@dataclass(frozen=True, slots=True)
class _PresetRecipe:
    """Recipe of a preset's architecture, its faults at the preset; see `external_models.Recipe`."""

    inner: Recipe
    places: _Places

    @property
    def path(self) -> str:
        return self.places.of(self.inner.path)

    @property
    def dtype(self) -> DType:
        return self.inner.dtype

    @property
    def wide(self) -> DType:
        return self.inner.wide

    @property
    def warnings(self) -> tuple[Fault, ...]:
        return tuple(map(self.places.moved, self.inner.warnings))

    def make(self, dtype: DType) -> nn.Module:
        try:
            return self.inner.make(dtype)
        except SpecError as error:
            raise self.places.translated(error) from error

    def dtypes(self, module: nn.Module, names: Mapping[str, DType]) -> Mapping[str, DType]:
        return self.inner.dtypes(module, names)

    def files(self, module: nn.Module) -> Mapping[str, str]:
        return self.inner.files(module)
