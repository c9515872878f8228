"""Tree of an architecture: each layer with its place in the spec and its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from seedpoint.models.architectures.arguments import MODULES
from seedpoint.models.architectures.base import Layer
from seedpoint.models.architectures.containers import Container, Ref, Repeat
from seedpoint.models.architectures.external_models import Foreign
from seedpoint.models.architectures.layers import TorchLayer
from seedpoint.models.architectures.tensors import Tensors
from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.validation.faults import join


@dataclass(frozen=True, slots=True)
class Node:
    """Layer of the spec; a single node, however often a Repeat copies it.

    `path` is the layer's place in the spec and `name_path` the place of its name. `children` are
    the children of a container, by name and in order; `copied` is the layer that a Repeat copies;
    `arguments` are the layers in a constructor's arguments.
    """

    layer: Layer
    path: str
    name_path: str
    children: Mapping[str, Node] = field(default_factory=dict)
    copied: Node | None = None
    arguments: Mapping[str, Node] = field(default_factory=dict)

    def inner(self) -> list[Node]:
        """Return the nodes directly inside this one, in the order of construction."""
        copied = [self.copied] if self.copied is not None else []
        return [*self.children.values(), *copied, *self.arguments.values()]

    def walk(self) -> Iterator[Node]:
        """Yield this node and all nodes inside it, each before those inside."""
        yield self
        for inner in self.inner():
            yield from inner.walk()


def plant(architecture: Layer, root: str) -> Node:
    """Return the tree of `architecture`, whose path in the spec is `root`.

    Raises:
        SpecError: For every name that is missing, out of place or given twice, and for every `Ref`,
            `tie` and `input_shape` that is out of place.
    """
    planter = _Planter(root)
    node = planter.plant(
        architecture, root, refusal="the top of an architecture has no name; leave it out"
    )
    if planter.faults:
        raise SpecError(planter.faults)
    return node


@dataclass(slots=True)
class _Planter:
    root: str
    faults: list[Fault] = field(default_factory=list)

    def plant(
        self,
        layer: Layer,
        path: str,
        *,
        refusal: str | None = None,
        name_path: str | None = None,
        copier: str | None = None,
    ) -> Node:
        """Return the node of `layer`.

        `refusal` is the reason why the layer may not give its name; `copier` is the type of the
        layer that copies it.
        """
        self._check(layer, path, refusal, copier)
        name_path = path if name_path is None else name_path
        if isinstance(layer, Container):
            return Node(layer, path, name_path, children=self._children(layer, path, copier))
        if isinstance(layer, Repeat):
            why = "Repeat names its copies 0, 1, ...; leave the name out"
            copied = self.plant(layer.layer, join(path, "layer"), refusal=why, copier=copier)
            return Node(layer, path, name_path, copied=copied)
        if isinstance(layer, TorchLayer) and (arguments := layer.layers()):
            nodes = {
                name: self.plant(
                    argument,
                    join(path, name),
                    refusal=f"{layer.type} names its own layers; leave the name out",
                    copier=copier or (layer.type if MODULES[name] is None else None),
                )
                for name, argument in arguments.items()
            }
            return Node(layer, path, name_path, arguments=nodes)
        return Node(layer, path, name_path)

    def _children(self, layer: Container, path: str, copier: str | None) -> dict[str, Node]:
        children: dict[str, Node] = {}
        for segments, name, child in layer.entries():
            place = join(path, *segments)
            in_object = segments[-1] == name
            refusal = (
                "the key in the object is the name; leave this out"
                if in_object
                else layer.refuses_names
            )
            named = child.child_name is not None and refusal is None
            name_path = join(place, "name") if named else place
            if name is None:
                message = f"missing; {layer.type} needs it"
                if child.name is not None:
                    message = (
                        f"is the {child.type}'s; write {segments[0]} as an object, whose keys are "
                        "the names"
                    )
                self.faults.append(Fault(join(place, "name"), message))
            elif name in children:
                message = f"{name!r} is already the name of {children[name].path}"
                self.faults.append(Fault(name_path, message))
            node = self.plant(child, place, refusal=refusal, name_path=name_path, copier=copier)
            children.setdefault(name or "", node)
        return children

    def _check(self, layer: Layer, path: str, refusal: str | None, copier: str | None) -> None:
        if refusal is not None and layer.child_name is not None:
            self.faults.append(Fault(join(path, "name"), refusal))
        if layer.input_shape is not None and path != self.root:
            message = "only the top of an architecture takes input_shape"
            self.faults.append(Fault(join(path, "input_shape"), message))
        if path == self.root and isinstance(layer, Foreign | Tensors):
            message = f"{layer.type} takes it only as a child of a Module or Sequential"
            if layer.tie:
                self.faults.append(Fault(join(path, "tie"), message))
            if layer.input_shape is not None:
                message = f"there is no Lazy layer in a {layer.type} model; leave it out"
                self.faults.append(Fault(join(path, "input_shape"), message))
        if copier is not None and isinstance(layer, Foreign):
            message = f"{copier} copies this, which a {layer.type} model does not allow"
            self.faults.append(Fault(path, message))
        if copier is not None and isinstance(layer, Ref):
            message = f"{copier} copies this, so a Ref in it would not be the same module"
            self.faults.append(Fault(path, message))
        if copier is not None and layer.tie:
            message = f"{copier} copies this, so a tie in it would be lost"
            self.faults.append(Fault(join(path, "tie"), message))


def find(root: Node, name: str) -> Node | None:
    """Return the node of the absolute dotted `name`, or the nearest node that holds it.

    A name inside a torch constructor (`encoder.layers.0`), or behind a Ref, gives the node of that
    constructor or Ref. The result is None if no layer has the name.
    """
    node = root
    for segment in name.split(".") if name else ():
        if isinstance(node.layer, Container):
            child = node.children.get(segment)
        elif isinstance(node.layer, Repeat):
            child = node.copied if _is_index(segment, node.layer.count) else None
        elif isinstance(node.layer, TorchLayer | Ref | Foreign | Tensors):
            return node
        else:
            child = None
        if child is None:
            return None
        node = child
    return node


def _is_index(segment: str, count: int) -> bool:
    """Return whether `segment` is 0, 1, ... or count - 1, spelled as torch spells it."""
    if not (segment.isascii() and segment.isdecimal()) or len(segment) > 16:
        return False
    return str(int(segment)) == segment and int(segment) < count
