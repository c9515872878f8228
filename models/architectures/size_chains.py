"""Search for neighbours in a Sequential whose sizes do not fit: its forward pass will fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any, Literal, NamedTuple

from torch import nn

from seedpoint.models.architectures.base import Layer
from seedpoint.models.architectures.containers import Repeat, Sequential
from seedpoint.models.architectures.layers import TorchLayer
from seedpoint.models.architectures.tree import Node
from seedpoint.models.errors import Fault

Axis = Literal["features", "channels"]

_CONVOLUTIONS: tuple[type[nn.Module], ...] = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
_TAKEN: dict[type[nn.Module], tuple[Axis, str]] = {
    nn.Linear: ("features", "in_features"),
    nn.LayerNorm: ("features", "normalized_shape"),
    nn.RMSNorm: ("features", "normalized_shape"),
    nn.TransformerEncoderLayer: ("features", "d_model"),
    **dict.fromkeys((nn.RNN, nn.LSTM, nn.GRU), ("features", "input_size")),
    **dict.fromkeys(_CONVOLUTIONS, ("channels", "in_channels")),
    **dict.fromkeys((nn.BatchNorm2d, nn.BatchNorm3d), ("channels", "num_features")),
    nn.GroupNorm: ("channels", "num_channels"),
}
"""Axis of the input whose size a layer knows, and the argument that has it."""
_GIVEN: dict[type[nn.Module], tuple[Axis, str]] = {
    **dict.fromkeys((nn.Linear, nn.LazyLinear), ("features", "out_features")),
    **dict.fromkeys((nn.Embedding, nn.EmbeddingBag), ("features", "embedding_dim")),
    nn.TransformerEncoderLayer: ("features", "d_model"),
    **dict.fromkeys(_CONVOLUTIONS, ("channels", "out_channels")),
}
"""Axis of the output whose size a layer decides, and the argument that has it."""
_CHANNELS_KEPT = ("BatchNorm", "GroupNorm", "InstanceNorm", "LocalResponseNorm", "Upsample")
_SHAPE_KEPT = frozenset(
    name
    for name, cls in vars(nn).items()
    if getattr(cls, "__module__", "") in ("torch.nn.modules.activation", "torch.nn.modules.dropout")
) - {"GLU", "MultiheadAttention"} | {"Identity", "LayerNorm", "RMSNorm", "BatchNorm1d"}


class Width(NamedTuple):
    """Size of a layer's input or output along its features (the last axis) or channels (axis 1)."""

    axis: Axis
    size: int


class Entry(NamedTuple):
    """Input that a layer needs, and the place of the argument that says so."""

    width: Width
    path: str
    argument: str


def broken_chains(root: Node) -> Iterator[Fault]:
    """Yield a fault for each layer of a Sequential that does not take the output before it."""
    found = (fault for node in root.walk() for fault in _in_order(_run(node)))
    yield from dict.fromkeys(found)


def _run(node: Node) -> Iterable[Node]:
    """Return the layers that run one after another directly inside a layer."""
    if isinstance(node.layer, Sequential):
        return node.children.values()
    if isinstance(node.layer, Repeat) and node.copied is not None and node.layer.count > 1:
        return (node.copied, node.copied)
    return ()


def _in_order(nodes: Iterable[Node]) -> Iterator[Fault]:
    width: Width | None = None
    for node in nodes:
        entry = _entry(node)
        if width is not None and entry is not None and _differs(width, entry.width):
            yield Fault(
                f"{entry.path}.{entry.argument}",
                f"{entry.argument} is {entry.width.size}, and the layer before gives {width.size} "
                f"{width.axis}",
            )
        width = _output(width, node)


def _differs(given: Width, taken: Width) -> bool:
    return given.axis == taken.axis and given.size != taken.size


def _entry(node: Node) -> Entry | None:
    """Return the input that a layer needs, if it is known."""
    layer = node.layer
    for inner in _inside(node):
        if inner.layer.type not in _SHAPE_KEPT or _class(inner.layer) in _TAKEN:
            return _entry(inner)
    if (known := _TAKEN.get(_class(layer))) is None:
        return None
    axis, argument = known
    return Entry(Width(axis, _of(layer, argument)), node.path, argument)


def _output(given: Width | None, node: Node) -> Width | None:
    """Return the output of a layer whose input is `given`; None if it is not known."""
    layer = node.layer
    if isinstance(layer, Sequential | Repeat):
        return reduce(_output, _inside(node), given)
    if known := _GIVEN.get(_class(layer)):
        axis, argument = known
        return Width(axis, _of(layer, argument))
    if layer.type in _SHAPE_KEPT:
        return given
    if given is not None and given.axis == "channels" and _keeps_channels(layer):
        return given
    return None


def _inside(node: Node) -> Iterable[Node]:
    """Return the layers of a Sequential, or one copy of a Repeat's."""
    if isinstance(node.layer, Sequential):
        return node.children.values()
    if isinstance(node.layer, Repeat) and node.copied is not None and node.layer.count:
        return (node.copied,)
    return ()


def _keeps_channels(layer: Layer) -> bool:
    pools = "Pool1d" in layer.type or "Pool2d" in layer.type or "Pool3d" in layer.type
    pads = "Pad1d" in layer.type or "Pad2d" in layer.type or "Pad3d" in layer.type
    return pools or pads or layer.type.startswith(_CHANNELS_KEPT)


def _class(layer: Layer) -> Any:
    return layer.torch_class if isinstance(layer, TorchLayer) else None


def _of(layer: Layer, argument: str) -> int:
    """Return a size; the last one of a shape."""
    size = getattr(layer, argument)
    return int(size[-1] if isinstance(size, tuple | list) else size)
