"""Construction of a module from an architecture's tree: plain torch calls, in a script's order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from torch import nn

from seedpoint.models.architectures.arguments import MODULES
from seedpoint.models.architectures.containers import Container, Custom, Ref, Repeat, WithTensors
from seedpoint.models.architectures.custom_modules import Custom as CustomModule
from seedpoint.models.architectures.custom_modules import module_of_list, register_tensors
from seedpoint.models.architectures.external_models import Foreign
from seedpoint.models.architectures.layers import TorchLayer
from seedpoint.models.architectures.library_models import LibraryModels
from seedpoint.models.architectures.tensors import Tensors
from seedpoint.models.architectures.torch_errors import TORCH_ERRORS, message_of
from seedpoint.models.architectures.tree import Node, find
from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.validation.faults import join, near

# Faults that get a hint; difflib takes milliseconds for each.
_MAX_HINTS = 20
# Names compared for a hint.
_MAX_CANDIDATES = 1000
# Characters of a wrong name that its fault repeats.
_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Tie:
    """Tie to make once everything is built: the tensor `own` of `module` becomes `target`."""

    module: nn.Module
    own: str
    target: str
    path: str


@dataclass(slots=True)
class Construction:
    """Construction of a tree's modules, children first, as a script with the same calls does it.

    `made` holds the finished modules and `nodes` their nodes, by absolute dotted name. `faults`
    holds messages by path; a placeholder takes the place of a faulty module.
    """

    tree: Node
    library: LibraryModels | None = None
    made: dict[str, nn.Module] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    ties: list[Tie] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    classes: dict[str, type[CustomModule]] = field(
        default_factory=lambda: {CustomModule.__name__: CustomModule}
    )

    def root(self) -> nn.Module:
        """Return the whole module."""
        return self.layer(self.tree, "")

    def layer(self, node: Node, name: str | None) -> nn.Module:
        """Return the module of `node`; `name` is its absolute name, None if torch copies it."""
        module = self._construct(node, name)
        if isinstance(node.layer, TorchLayer | WithTensors):
            self._parametrize(module, node.layer, node)
        if name is not None:
            self.made[name], self.nodes[name] = module, node
        for own, target in node.layer.tie.items():
            self.ties.append(Tie(module, own, target, join(node.path, "tie", own)))
        return module

    def fault(self, path: str, message: str) -> None:
        """Record a fault at a path of the spec, once for all copies of a Repeat."""
        self.faults.setdefault(path, message)

    def hint(self, name: str, known: Iterable[str]) -> str:
        """Return the names most similar to `name`, else the first few; late faults get `...`."""
        if len(self.faults) >= _MAX_HINTS:
            return "..."
        candidates = list(islice(known, _MAX_CANDIDATES))
        return ", ".join(near(name, candidates) or candidates[:3]) or "none"

    def error(self) -> SpecError:
        """Return all recorded faults as one error."""
        return SpecError(Fault(path, message) for path, message in self.faults.items())

    def _construct(self, node: Node, name: str | None) -> nn.Module:
        layer = node.layer
        if isinstance(layer, Container):
            return self._container(layer, node, name)
        if isinstance(layer, Repeat):
            return self._repeat(layer, node, name)
        if isinstance(layer, Ref):
            return self._ref(layer, node, name)
        if isinstance(layer, Tensors):
            return module_of_list(layer, node.path, self.fault)
        if isinstance(layer, Foreign):
            assert self.library is not None
            return self.library.make(node)
        assert isinstance(layer, TorchLayer)
        return self._torch(layer, node, name)

    def _torch(self, layer: TorchLayer, node: Node, name: str | None) -> nn.Module:
        modules = {
            argument: self.layer(inner, _under(name, MODULES[argument]))
            for argument, inner in node.arguments.items()
        }
        try:
            return layer.torch_class(**{**layer.arguments(), **modules})
        except TORCH_ERRORS as error:
            self.fault(node.path, message_of(error))
            return nn.Identity()

    def _container(self, layer: Container, node: Node, name: str | None) -> nn.Module:
        children = [
            (key, self.layer(child, _under(name, key)), child)
            for key, child in node.children.items()
        ]
        module = self._custom(layer) if isinstance(layer, Custom) else layer.module_class()
        if isinstance(layer, WithTensors):
            register_tensors(module, layer, node.path, self.fault)
        for key, child, inner in children:
            try:
                module.add_module(key, child)
            except TORCH_ERRORS as error:
                self.fault(inner.name_path, message_of(error) + _nested(key))
        return module

    def _repeat(self, layer: Repeat, node: Node, name: str | None) -> nn.Module:
        assert node.copied is not None
        copies = (self.layer(node.copied, _under(name, str(i))) for i in range(layer.count))
        return nn.Sequential(*copies)

    def _custom(self, layer: Custom) -> nn.Module:
        cls = self.classes.get(layer.class_name)
        if cls is None:
            cls = type(layer.class_name, (CustomModule,), {})
            self.classes[layer.class_name] = cls
        return cls()

    def _parametrize(self, module: nn.Module, layer: TorchLayer | WithTensors, node: Node) -> None:
        """Parametrize tensors in the order of the module: that of an object carries no meaning."""
        order = [*module._parameters, *module._buffers]
        unknown = [name for name in layer.parametrizations if name not in order]
        for name in (*unknown, *filter(layer.parametrizations.get, order)):
            parametrization = layer.parametrizations[name]
            path = join(node.path, "parametrizations", name)
            own = {**module._parameters, **module._buffers}
            if own.get(name) is None:
                known = self.hint(name, (key for key, value in own.items() if value is not None))
                self.fault(path, f"this layer has no tensor {name!r}; known: {known}")
                continue
            try:
                parametrization.register(module, name)
            except TORCH_ERRORS as error:
                if isinstance(error, SpecError):
                    raise
                self.fault(path, message_of(error))

    def _ref(self, layer: Ref, node: Node, name: str | None) -> nn.Module:
        module = self._earlier(layer.ref)
        if module is not None:
            return module
        path = join(node.path, "ref")
        if path not in self.faults:
            self.fault(path, self._why_not(layer.ref, name))
        return nn.Identity()

    def _earlier(self, target: str) -> nn.Module | None:
        """Return the finished module of that absolute name, or one inside it that torch made."""
        for outer in _prefixes(target):
            if outer in self.made:
                if target == f"{outer}.":
                    return None  # torch reads this as `outer`; the count of modules does not
                try:
                    return self.made[outer].get_submodule(target[len(outer) + 1 :])
                except AttributeError:
                    return None
        return None

    def _why_not(self, target: str, name: str | None) -> str:
        """Return the reason why the layer `name` cannot refer to the layer `target`."""
        if target == name:
            return f"{target!r} is this layer itself; expected an earlier one"
        if not target or f"{name}.".startswith(f"{target}."):
            return f"{target!r} contains this layer; expected an earlier one"
        finished = any(outer in self.made for outer in _prefixes(target))
        if not finished and find(self.tree, target) is not None:
            return f"{target!r} is a later layer; expected an earlier one"
        return f"no layer {target!r}; earlier layers: {self.hint(target, filter(None, self.made))}"


def _nested(name: str) -> str:
    """Return how to write a layer of this name, which has a dot, as layers inside each other."""
    first, *inner = name[:_MAX_NAME].split(".")
    if not inner or not all((first, *inner)):
        return ""
    layer = "..."
    for part in reversed(inner):
        layer = f'{{"type": "Module", "children": {{{json.dumps(part)}: {layer}}}}}'
    return f"; nest it: {json.dumps(first)}: {layer}"


def _under(name: str | None, child: str | None) -> str | None:
    """Return the absolute name of a child, None if torch copies the child or its parent."""
    if name is None or child is None:
        return None
    return f"{name}.{child}" if name else child


def _prefixes(name: str) -> Iterator[str]:
    """Yield `a.b.c`, `a.b`, `a`."""
    while name:
        yield name
        name = name.rpartition(".")[0]
