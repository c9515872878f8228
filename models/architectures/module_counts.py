"""Numbers of modules and tensors of an architecture, counted without making them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from seedpoint.models.architectures import parametrizations
from seedpoint.models.architectures.containers import Ref, Repeat, WithTensors
from seedpoint.models.architectures.external_models import Foreign
from seedpoint.models.architectures.layers import TorchLayer
from seedpoint.models.architectures.limits import MAX_LAYER_DEPTH
from seedpoint.models.architectures.tensor_sizes import tensors_of
from seedpoint.models.architectures.tensors import Tensors
from seedpoint.models.architectures.tree import Node, find
from seedpoint.models.errors import LimitExceeded

# Modules in one encoder layer and in one decoder layer of nn.Transformer, itself included.
_ENCODER_LAYER = 10
_DECODER_LAYER = 14

# Classes whose constructor makes further modules.
_MANY = {
    *("MultiheadAttention", "AdaptiveLogSoftmaxWithLoss", "Transformer", "RNN", "LSTM", "GRU"),
    *("TransformerEncoder", "TransformerEncoderLayer"),
    *("TransformerDecoder", "TransformerDecoderLayer", "LinearCrossEntropyLoss"),
}
# Arguments that determine the number of these modules.
_COUNTED = {
    *("num_layers", "num_encoder_layers", "num_decoder_layers"),
    *("bidirectional", "cutoffs"),
}


NONE_MADE: Mapping[str, int] = MappingProxyType({})


def count_modules(tree: Node, limit: int, library: Mapping[str, int] = NONE_MADE) -> int:
    """Return the number of modules of the finished architecture.

    A shared module counts once for each of its names, a recurrent layer once for each layer and
    direction of its stack. `library` has the numbers of modules of library models, by the path of
    their node; without it, each counts as one.

    Raises:
        LimitExceeded: At the innermost layer that alone has more than `limit` modules.
    """
    return _Census(tree, limit, library).count(tree)


@dataclass(slots=True)
class _Census:
    tree: Node
    limit: int
    library: Mapping[str, int]
    counted: dict[int, int] = field(default_factory=dict)

    def count(self, node: Node) -> int:
        total = self._count(node)
        if total > self.limit:
            message = f"would make {total} modules; at most {self.limit} are allowed"
            raise LimitExceeded.at(node.path, message)
        self.counted[id(node)] = total
        return total

    def _count(self, node: Node) -> int:
        inner = sum(map(self.count, node.inner()))
        layer = node.layer
        if isinstance(layer, Repeat):
            return 1 + layer.count * inner
        if isinstance(layer, Ref):
            # Every name of a shared module is listed, so Refs to Refs could grow as powers
            # of two. A Ref to a missing or later layer is reported elsewhere.
            target = find(self.tree, layer.ref)
            return self.counted.get(id(target), 1)
        if isinstance(layer, Foreign):
            return self.library.get(node.path, 1)
        if isinstance(layer, Tensors):
            return _count_list(layer)
        extra = 0
        if isinstance(layer, TorchLayer | WithTensors):
            extra = parametrizations.count_modules(len(layer.parametrizations))
        if isinstance(layer, TorchLayer):
            return self._count_torch(layer, node) + extra
        return 1 + inner + extra

    def _count_torch(self, layer: TorchLayer, node: Node) -> int:
        """Return the number of modules that one torch constructor makes."""
        if layer.type not in _MANY:
            return 1
        given = {name: self.counted[id(inner)] for name, inner in node.arguments.items()}
        sizes: dict[str, Any] = layer.model_dump(include=_COUNTED)
        match layer.type:
            case "MultiheadAttention" | "LinearCrossEntropyLoss":
                total = 2
            case "TransformerEncoderLayer":
                total = _ENCODER_LAYER
            case "TransformerDecoderLayer":
                total = _DECODER_LAYER
            case "TransformerEncoder" | "TransformerDecoder":
                copied = given.get("encoder_layer", 0) + given.get("decoder_layer", 0)
                total = 2 + sizes["num_layers"] * copied + given.get("norm", 0)
            case "Transformer":
                encoder = 3 + sizes["num_encoder_layers"] * _ENCODER_LAYER
                decoder = 3 + sizes["num_decoder_layers"] * _DECODER_LAYER
                total = 1
                total += given.get("custom_encoder", encoder)
                total += given.get("custom_decoder", decoder)
            case "AdaptiveLogSoftmaxWithLoss":
                total = 3 + 3 * len(sizes["cutoffs"])
            case _:  # recurrent
                total = sizes["num_layers"] * (1 + sizes["bidirectional"])
        return total


def _count_list(tensors: Tensors) -> int:
    """Return the number of modules that hold the tensors of a list."""
    holders = set[str]()
    for name in tensors.names:
        if name.count(".") > MAX_LAYER_DEPTH:
            continue  # refused when it is built
        while (name := name.rpartition(".")[0]) and name not in holders:
            holders.add(name)
    return 1 + len(holders)


def least_tensors(tree: Node) -> int:
    """Return a lower bound on the number of tensors of the finished architecture.

    Each layer of the spec is inspected once, however often a Repeat copies it. Layers that make
    modules of their own are left out.
    """
    known: dict[object, int] = {}

    def tensors(layer: TorchLayer) -> int:
        key = (layer.type, *layer.arguments().items())
        if key not in known:
            known[key] = tensors_of(layer)
        return known[key]

    def least(node: Node) -> int:
        layer = node.layer
        if isinstance(layer, Tensors):
            own = len(layer.names)
        elif isinstance(layer, TorchLayer):
            own = 0 if layer.type in _MANY else tensors(layer)
        else:
            inner = sum(map(least, node.inner()))
            own = layer.count * inner if isinstance(layer, Repeat) else inner
            if isinstance(layer, WithTensors):
                own += len(layer.parameters) + len(layer.buffers)
        return max(0, own - len(layer.tie))

    return least(tree)
