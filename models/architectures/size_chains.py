"""Search for neighbours in a Sequential whose sizes do not fit: its forward pass will fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from torch import nn

from seedpoint.models.architectures.base import Layer
from seedpoint.models.architectures.containers import Sequential
from seedpoint.models.architectures.layers import TorchLayer
from seedpoint.models.architectures.tree import Node
from seedpoint.models.errors import Fault

_CONVOLUTIONS: tuple[type[nn.Module], ...] = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
_CHANNELS_KEPT: tuple[type[nn.Module], ...] = (
    *(nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.Upsample),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
)
_SHAPE_KEPT = frozenset(
    name
    for name, cls in vars(nn).items()
    if getattr(cls, "__module__", "") in ("torch.nn.modules.activation", "torch.nn.modules.dropout")
) - {"GLU", "MultiheadAttention"} | {"Identity"}


class Width(NamedTuple):
    """Size of a layer's output along its features (the last axis) or its channels (axis 1)."""

    axis: Literal["features", "channels"]
    size: int


def broken_chains(root: Node) -> Iterator[Fault]:
    """Yield a fault for each layer of a Sequential that does not take the output before it."""
    if isinstance(root.layer, Sequential):
        width: Width | None = None
        for node in root.children.values():
            taken, argument = _input(node.layer)
            if width is not None and taken is not None and _differs(width, taken):
                yield Fault(
                    f"{node.path}.{argument}",
                    f"{argument} is {taken.size}, and the layer before gives {width.size} "
                    f"{width.axis}",
                )
            width = _output(node.layer, width)
    for node in root.inner():
        yield from broken_chains(node)


def _differs(given: Width, taken: Width) -> bool:
    return given.axis == taken.axis and given.size != taken.size


def _input(layer: Layer) -> tuple[Width | None, str]:
    """Return the input that a layer needs, if it is known, and the argument that says so."""
    cls = layer.torch_class if isinstance(layer, TorchLayer) else None
    if cls is nn.Linear:
        return Width("features", _of(layer, "in_features")), "in_features"
    if cls in _CONVOLUTIONS:
        return Width("channels", _of(layer, "in_channels")), "in_channels"
    if cls in (nn.BatchNorm2d, nn.BatchNorm3d):
        return Width("channels", _of(layer, "num_features")), "num_features"
    return None, ""


def _output(layer: Layer, given: Width | None) -> Width | None:
    """Return the output of a layer whose input is `given`; None if it is not known."""
    cls = layer.torch_class if isinstance(layer, TorchLayer) else None
    if cls is nn.Linear:
        return Width("features", _of(layer, "out_features"))
    if cls is nn.Embedding:
        return Width("features", _of(layer, "embedding_dim"))
    if cls in _CONVOLUTIONS:
        return Width("channels", _of(layer, "out_channels"))
    if layer.type in _SHAPE_KEPT or cls in (nn.LayerNorm, nn.RMSNorm):
        return given
    if cls is nn.BatchNorm1d:
        return given
    if cls in _CHANNELS_KEPT:
        return given if given is None or given.axis == "channels" else None
    return None


def _of(layer: Layer, argument: str) -> int:
    return int(getattr(layer, argument))
