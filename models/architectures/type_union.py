"""Unions on `type`: any layer, and any architecture."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, Union

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypeAliasType

from seedpoint.models.architectures import containers, layers
from seedpoint.models.architectures.base import Layer
from seedpoint.models.architectures.containers import (
    Custom,
    Module,
    ModuleDict,
    ModuleList,
    Ref,
    Repeat,
    Sequential,
)
from seedpoint.models.architectures.external_models import Foreign
from seedpoint.models.architectures.huggingface import Transformers
from seedpoint.models.architectures.layers import LAYERS
from seedpoint.models.architectures.limits import check_depth
from seedpoint.models.architectures.preset import Preset
from seedpoint.models.architectures.tensors import Tensors
from seedpoint.models.architectures.vision import Timm, Torchvision
from seedpoint.models.errors import SpecError
from seedpoint.models.validation.faults import faults_from

STRUCTURE: tuple[type[Layer], ...] = (
    *(Sequential, Module, ModuleDict, ModuleList, Repeat),
    *(Ref, Custom),
)
FOREIGN: tuple[type[Foreign], ...] = (Transformers, Timm, Torchvision, Preset)
WHOLE: tuple[type[Layer], ...] = (Tensors, *FOREIGN)
"""Architectures that are not a tree of the spec's own layers."""
LAYER_MODELS: tuple[type[Layer], ...] = (*STRUCTURE, *LAYERS.values(), *WHOLE)

if TYPE_CHECKING:
    AnyLayer: TypeAlias = Layer
    Architecture: TypeAlias = Layer
else:
    # Named aliases, so that JSON Schema has the union under $defs. Two of them, because the pages
    # of the API show the one and close the other, which nests without end.
    AnyLayer = TypeAliasType(
        "Layer", Annotated[Union[(*LAYER_MODELS,)], Field(discriminator="type")]
    )
    Architecture = TypeAliasType(
        "Architecture", Annotated[Union[(*LAYER_MODELS,)], Field(discriminator="type")]
    )
    # Pydantic looks up the forward references in these modules. (`model_rebuild` with a namespace
    # would build the whole union once more for each model: 0.6 s instead of 0.1 s.)
    containers.AnyLayer = layers.AnyLayer = AnyLayer

ADAPTER: TypeAdapter[Layer] = TypeAdapter(Architecture)


@cache
def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of an architecture; do not modify it."""
    return ADAPTER.json_schema()


def parse(document: Any, *, root: str = "architecture") -> Layer:
    """Return the architecture that `document`, parsed JSON, describes; `root` is its path.

    `check` and `build` check names, references and the arguments that only a constructor can judge.

    Raises:
        SpecError: With the path of every fault of form.
    """
    check_depth(document, root)
    try:
        return ADAPTER.validate_python(document)
    except ValidationError as error:
        faults = faults_from(error, document, schema=json_schema(), root=root)
        raise SpecError(faults) from None
