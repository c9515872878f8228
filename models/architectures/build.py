"""Architecture -> torch module, or list of tensors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import overload

from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

from seedpoint.models.architectures.base import Layer
from seedpoint.models.architectures.construct import Construction
from seedpoint.models.architectures.layers import TorchLayer
from seedpoint.models.architectures.lazy import LazyInput, lazy_inputs, materialize
from seedpoint.models.architectures.limits import MAX_MODULES
from seedpoint.models.architectures.module_counts import count_modules, least_tensors
from seedpoint.models.architectures.tensor_sizes import oversize
from seedpoint.models.architectures.tensors import TensorList, Tensors, tensor_list
from seedpoint.models.architectures.ties import make_ties
from seedpoint.models.architectures.tree import Node, plant
from seedpoint.models.errors import Fault, SpecError


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A checked architecture: its tree, and what its Lazy layers will be called with."""

    tree: Node
    lazy: tuple[LazyInput, ...]

    def least_tensors(self) -> int:
        """At least the number of tensors that it makes."""
        with _quiet(), _disable_current_modes():
            return least_tensors(self.tree)


@dataclass(frozen=True, slots=True)
class Built:
    """A module and where each part of it comes from.

    `paths`: absolute dotted module name (`hidden`; empty for the whole) -> path in the spec
    (`architecture.layers.0`). What a constructor of torch made inside itself is not listed.
    """

    module: nn.Module
    paths: Mapping[str, str]

    def path_of(self, name: str) -> str:
        """The path in the spec of the layer that holds the module or tensor `name`."""
        while name not in self.paths:
            name = name.rpartition(".")[0]
        return self.paths[name]


def check(
    architecture: Layer, *, root: str = "architecture", max_modules: int = MAX_MODULES
) -> Blueprint:
    """The blueprint of `architecture`, whose path in the spec is `root`.

    Makes no tensor with elements and draws no random number. Raises SpecError for names, counts,
    sizes and Lazy layers that cannot be built.
    """
    tree = plant(architecture, root)
    count_modules(tree, max_modules)
    with _quiet(), _disable_current_modes():
        _check_sizes(tree)
        return Blueprint(tree, lazy_inputs(tree))


def construct(blueprint: Blueprint) -> Built:
    """The module of a blueprint, drawing what a script with the same constructors would draw.

    That script ends with `module.eval()(torch.zeros(input_shape))` where there are Lazy layers;
    ties are made last. Runs as well under a recorder of torch's dispatcher. Raises SpecError for
    what only a constructor of torch finds, for `Ref` and for `tie`.
    """
    construction = Construction(blueprint.tree)
    with _quiet():
        module = construction.root()
        if not construction.faults:
            materialize(construction, blueprint.lazy)
        if not construction.faults:
            make_ties(module, construction)
    if construction.faults:
        raise construction.error()
    paths = {name: node.path for name, node in construction.nodes.items()}
    return Built(module, paths)


@overload
def build(architecture: Layer, *, root: str = ..., max_modules: int = ...) -> Built: ...


@overload
def build(architecture: Tensors, *, root: str = ..., max_modules: int = ...) -> TensorList: ...


def build(
    architecture: Layer | Tensors, *, root: str = "architecture", max_modules: int = MAX_MODULES
) -> Built | TensorList:
    """What an architecture describes: `construct(check(...))`, or its list of tensors."""
    if isinstance(architecture, Tensors):
        return tensor_list(architecture, root=root)
    return construct(check(architecture, root=root, max_modules=max_modules))


def _check_sizes(tree: Node) -> None:
    known: dict[object, str | None] = {}
    faults = []
    for node in _nodes(tree):
        layer = node.layer
        if not isinstance(layer, TorchLayer) or layer.layers():
            continue
        key = (layer.type, *layer.arguments().items())
        if key not in known:
            known[key] = oversize(layer)
        if problem := known[key]:
            faults.append(Fault(node.path, problem))
    if faults:
        raise SpecError(faults)


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for inner in node.inner():
        yield from _nodes(inner)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's advice on layers that the spec means as they are (a size of zero)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
