"""Lazy layers: inference of the shapes of their inputs on the meta device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from seedpoint.models.architectures.construct import Construction
from seedpoint.models.architectures.external_models import Foreign
from seedpoint.models.architectures.tensor_sizes import oversize_of
from seedpoint.models.architectures.torch_errors import TORCH_ERRORS, message_of
from seedpoint.models.architectures.tree import Node
from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.validation.faults import join

# Layers that take indices as input.
_TAKES_INDICES = frozenset({"Embedding", "EmbeddingBag"})


@dataclass(frozen=True, slots=True)
class LazyInput:
    """Input of the lazy module `name` (absolute, dotted): a tensor on the meta device."""

    name: str
    input: torch.Tensor


def lazy_inputs(tree: Node) -> tuple[LazyInput, ...]:
    """Return the input of every Lazy layer, in the order of a forward pass.

    The shapes are those of `module.eval()(torch.empty(input_shape))`. No element is computed and no
    random number is drawn.

    Raises:
        SpecError: If a Lazy layer is outside a chain of Sequentials, if `input_shape` is missing,
            or if the shape does not pass the layers before it.
    """
    lazy = list(_lazy_nodes(tree, chained=True))
    if lazy and any(isinstance(node.layer, Foreign) for node in tree.walk()):
        node = lazy[0][0]
        message = "a Lazy layer cannot stand beside a library's model; write its sizes"
        raise SpecError.at(join(node.path, "type"), message)
    faults = [
        Fault(
            node.path,
            f"{node.layer.type} is only allowed in a chain of Sequential and Repeat layers, "
            "which pass input_shape on",
        )
        for node, chained in lazy
        if not chained
    ]
    if lazy and tree.layer.input_shape is None:
        first = lazy[0][0]
        message = f"missing; {first.layer.type} at {first.path} infers its size from it"
        faults.append(Fault(join(tree.path, "input_shape"), message))
    if faults:
        raise SpecError(faults)
    return _Flow(tree).inputs() if lazy else ()


def materialize(construction: Construction, inputs: tuple[LazyInput, ...]) -> None:
    """Give the Lazy layers of a construction their tensors, as a first forward pass does.

    Torch's own hook makes the tensors, runs `reset_parameters` and turns the class into the plain
    one.
    """
    for lazy in inputs:
        module = construction.made[lazy.name]
        assert isinstance(module, LazyModuleMixin)
        try:
            module._infer_parameters(module, (lazy.input,))
        except TORCH_ERRORS as error:
            construction.fault(construction.nodes[lazy.name].path, message_of(error))


def _lazy_nodes(node: Node, *, chained: bool) -> Iterator[tuple[Node, bool]]:
    if node.layer.type.startswith("Lazy"):
        yield node, chained
    chained = chained and node.layer.chains
    for inner in node.inner():
        yield from _lazy_nodes(inner, chained=chained)


@dataclass(slots=True)
class _Flow:
    """Flow of the input's shape through a chain of modules on the meta device."""

    tree: Node
    found: list[LazyInput] = field(default_factory=list)
    left: int = 0

    def inputs(self) -> tuple[LazyInput, ...]:
        construction = Construction(self.tree)
        with torch.device("meta"), torch.no_grad():
            root = construction.root().eval()
            if construction.faults:
                raise construction.error()
            self.left = sum(isinstance(m, LazyModuleMixin) for m in root.modules())
            first = _first(self.tree)
            dtype = torch.int64 if first.layer.type in _TAKES_INDICES else torch.float32
            shape = self.tree.layer.input_shape
            assert shape is not None
            try:
                start = torch.empty(shape, dtype=dtype)
            except TORCH_ERRORS as error:
                raise SpecError.at(join(self.tree.path, "input_shape"), message_of(error)) from None
            self._pass(self.tree, root, "", start)
        return tuple(self.found)

    def _pass(self, node: Node, module: nn.Module, name: str, value: torch.Tensor) -> torch.Tensor:
        """Return the output of `module` for `value`, or `value` once no Lazy layer is left."""
        if node.layer.chains:
            # named_children() would leave out a module's second name.
            for key, child in module._modules.items():
                assert child is not None
                inner = node.copied or node.children[key]
                value = self._pass(inner, child, f"{name}.{key}" if name else key, value)
            return value
        if self.left == 0:
            return value
        try:
            if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
                self._infer(module, node, name, value)
            output: torch.Tensor = module(value)
        except TORCH_ERRORS as error:
            if isinstance(error, SpecError):
                raise
            shape = list(getattr(value, "shape", ()))
            message = f"input_shape arrives here as {shape}: {message_of(error)}"
            raise SpecError.at(node.path, message) from None
        return output

    def _infer(self, module: nn.Module, node: Node, name: str, value: torch.Tensor) -> None:
        assert isinstance(module, LazyModuleMixin)
        self.found.append(LazyInput(name, value))
        module._infer_parameters(module, (value,))
        self.left -= 1
        if problem := oversize_of(module):
            raise SpecError.at(node.path, problem)


def _first(node: Node) -> Node:
    """Return the first layer of a chain that computes something."""
    while node.layer.chains and (inner := node.inner()):
        node = inner[0]
    return node
