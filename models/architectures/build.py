"""Building of a torch module, or a list of tensors, from an architecture."""

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
from seedpoint.models.architectures.construction_limit import at_most
from seedpoint.models.architectures.external_models import Recipe
from seedpoint.models.architectures.layers import TorchLayer
from seedpoint.models.architectures.lazy import LazyInput, lazy_inputs, materialize
from seedpoint.models.architectures.library_models import LibraryModels, recipes_of
from seedpoint.models.architectures.limits import MAX_MODULES
from seedpoint.models.architectures.module_counts import count_modules, least_tensors
from seedpoint.models.architectures.shapes import Layout
from seedpoint.models.architectures.tensor_sizes import oversize
from seedpoint.models.architectures.tensors import TensorList, Tensors, tensor_list
from seedpoint.models.architectures.ties import make_ties
from seedpoint.models.architectures.tree import Node, plant
from seedpoint.models.dtypes import DType
from seedpoint.models.errors import Fault, SpecError


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Checked architecture: its tree, and the inputs of its Lazy layers."""

    tree: Node
    lazy: tuple[LazyInput, ...]

    def least_tensors(self) -> int:
        """Return a lower bound on the number of tensors of the finished architecture."""
        with _quiet(), _disable_current_modes():
            return least_tensors(self.tree)


@dataclass(frozen=True, slots=True)
class Built:
    """Constructed module, with the place in the spec of each of its parts.

    `paths` maps an absolute dotted module name (`hidden`; empty for the whole) to a path in the
    spec (`architecture.layers.0`). Modules that a constructor makes inside itself are not listed.
    `nodes` are the layers of these names.
    """

    module: nn.Module
    paths: Mapping[str, str]
    nodes: Mapping[str, Node]

    def path_of(self, name: str) -> str:
        """Return the path in the spec of the layer that holds the module or tensor `name`."""
        while name not in self.paths:
            name = name.rpartition(".")[0]
        return self.paths[name]

    def layout_of(self, name: str) -> Layout:
        """Return the layout of the tensor `name`: that of the list it is of, or PyTorch's."""
        while name not in self.nodes:
            name = name.rpartition(".")[0]
        layer = self.nodes[name].layer
        return layer.layout if isinstance(layer, Tensors) else "out_in"


def check(
    architecture: Layer, *, root: str = "architecture", max_modules: int = MAX_MODULES
) -> Blueprint:
    """Return the blueprint of `architecture`, whose path in the spec is `root`.

    No tensor with elements is made and no random number is drawn.

    Raises:
        SpecError: For names, counts, sizes and Lazy layers that cannot be built.
    """
    tree = plant(architecture, root)
    count_modules(tree, max_modules)
    with _quiet(), _disable_current_modes():
        _check_sizes(tree)
        return Blueprint(tree, lazy_inputs(tree))


def construct(blueprint: Blueprint, library: LibraryModels | None = None) -> Built:
    """Return the module of a blueprint, with the draws of a script of the same constructors.

    If there are Lazy layers, that script ends with `module.eval()(torch.zeros(input_shape))`. Ties
    are made last. The function also runs under a recorder of torch's dispatcher. `library` makes
    the models of other libraries; a tree without any needs none.

    Raises:
        SpecError: For faults that only a torch constructor finds, and for an invalid `Ref` or
            `tie`.
        LimitExceeded: For too many modules of library models.
    """
    construction = Construction(blueprint.tree, library)
    with _quiet():
        module = _module(construction)
        if not construction.faults:
            materialize(construction, blueprint.lazy)
        if not construction.faults:
            make_ties(module, construction)
    if construction.faults:
        raise construction.error()
    nodes = construction.nodes
    return Built(module, {name: node.path for name, node in nodes.items()}, nodes)


def _module(construction: Construction) -> nn.Module:
    library = construction.library
    if library is None or not library.recipes:
        return construction.root()
    with at_most(library.max_modules, construction.tree.path):
        module = construction.root()
    # Before anything lists the modules under all their names.
    count_modules(construction.tree, library.max_modules, library.sizes)
    return module


@overload
def build(  # type: ignore[overload-overlap]
    architecture: Tensors, *, root: str = ..., dtype: DType | None = ..., max_modules: int = ...
) -> TensorList: ...


@overload
def build(
    architecture: Layer, *, root: str = ..., dtype: DType | None = ..., max_modules: int = ...
) -> Built: ...


def build(
    architecture: Layer,
    *,
    root: str = "architecture",
    dtype: DType | None = None,
    max_modules: int = MAX_MODULES,
) -> Built | TensorList:
    """Return the module of an architecture (`construct(check(...))`), or its list of tensors.

    `dtype` is the spec's default dtype, in which models of other libraries are made.
    """
    if isinstance(architecture, Tensors):
        plant(architecture, root)
        return tensor_list(architecture, root=root)
    blueprint = check(architecture, root=root, max_modules=max_modules)
    recipes = recipes_of(blueprint.tree, dtype=dtype, max_modules=max_modules)

    def make(recipe: Recipe) -> nn.Module:
        return recipe.make(recipe.dtype)

    return construct(blueprint, LibraryModels(recipes, make, max_modules))


def _check_sizes(tree: Node) -> None:
    known: dict[object, str | None] = {}
    faults = []
    for node in tree.walk():
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence torch's warnings on layers that the spec intends (a size of zero)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
