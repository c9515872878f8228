"""Layers of torch.nn: a pydantic model for each class, made from its real constructor.

A `Linear` is `{"type": "Linear", "in_features": ..., "out_features": ..., "bias": ...}`: the name
of the class, and exactly the arguments of its constructor.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, Literal, TypeAlias

from pydantic import create_model
from torch import nn

from seedpoint.models.architectures.arguments import MODULES, arguments_of, field_of
from seedpoint.models.architectures.base import COMMON, Layer
from seedpoint.models.architectures.examples import example_of
from seedpoint.models.architectures.parametrizations import Parametrizations
from seedpoint.models.architectures.parametrizations import field as parametrizations_field

# Classes of torch.nn that are not layers of a spec: name -> reason.
EXCLUDED: dict[str, str] = {
    **dict.fromkeys(
        ("Sequential", "Module", "ModuleList", "ModuleDict"), "a container: containers.py"
    ),
    "Container": "deprecated alias of Module",
    **dict.fromkeys(("ParameterList", "ParameterDict"), "holds parameters: Custom"),
    **dict.fromkeys(("RNNBase", "RNNCellBase"), "a base class without a forward"),
    "DataParallel": "runs another module; it has nothing to initialize",
    **{
        name: "a loss without parameters"
        for name, cls in vars(nn).items()
        if inspect.isclass(cls)
        and cls.__module__ == "torch.nn.modules.loss"
        and name != "LinearCrossEntropyLoss"
    },
    "NLLLoss2d": "deprecated alias of NLLLoss",
}

# Summaries of classes that have no docstring in torch.
_UNDOCUMENTED = {
    "CrossMapLRN2d": "Applies local response normalization across channels.",
}

ModuleClass: TypeAlias = type[nn.Module]  # an alias, because `type` is a field inside a layer


class TorchLayer(Layer):
    """Layer of torch.nn."""

    parametrizations: Parametrizations = parametrizations_field()

    @property
    def torch_class(self) -> ModuleClass:
        """Class in torch.nn."""
        cls: ModuleClass = getattr(nn, self.type)
        return cls

    def arguments(self) -> dict[str, Any]:
        """Return the given arguments of the constructor; modules are layers."""
        given = self.model_fields_set - COMMON
        return {name: getattr(self, name) for name in _MODELS_FIELDS[self.type] if name in given}

    def layers(self) -> dict[str, Layer]:
        """Return the module-valued arguments."""
        if self.type not in WITH_LAYERS:
            return {}
        arguments = self.arguments()
        return {k: v for k, v in arguments.items() if k in MODULES and v is not None}


def _torch_layers() -> dict[str, type[nn.Module]]:
    return {
        name: cls
        for name, cls in sorted(vars(nn).items())
        if inspect.isclass(cls) and issubclass(cls, nn.Module) and name not in EXCLUDED
    }


def _model(name: str, cls: type[nn.Module]) -> type[TorchLayer]:
    fields: dict[str, Any] = {
        argument: field_of(cls, parameter) for argument, parameter in arguments_of(cls).items()
    }
    model: type[TorchLayer] = create_model(
        name,
        __base__=TorchLayer,
        __module__=__name__,
        __doc__=summary_of(cls),
        type=(_literal(name), ...),
        **fields,
    )
    model.model_config["json_schema_extra"] = {"examples": [example_of(name, cls)]}
    return model


def _literal(name: str) -> Any:
    return Literal[name]


def summary_of(cls: type[nn.Module]) -> str:
    """Return the first sentence of torch's docstring, without its markup and signature."""
    text = inspect.cleandoc(_UNDOCUMENTED.get(cls.__name__) or cls.__doc__ or "")
    paragraphs = [p for p in text.split("\n\n") if not p.startswith("__init__(")]
    paragraph = " ".join(paragraphs[0].split()) if paragraphs else ""
    plain = re.sub(r":\w+:`~?([^`<]*?)(?:\s*<[^`]*>)?`", r"\1", paragraph).replace("`", "")
    return re.split(r"(?<=\.)\s", plain)[0]


LAYERS: dict[str, type[TorchLayer]] = {
    name: _model(name, cls) for name, cls in _torch_layers().items()
}
_MODELS_FIELDS = {name: tuple(model.model_fields) for name, model in LAYERS.items()}
WITH_LAYERS = frozenset(
    name for name, fields in _MODELS_FIELDS.items() if not MODULES.keys().isdisjoint(fields)
)


def __getattr__(name: str) -> Any:
    """Return a model by its class name, for imports and pickles."""
    if name in LAYERS:
        return LAYERS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
