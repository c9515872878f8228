"""What an architecture is before any rule: its tensors, their own init, its modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import nn

from models.architectures import (
    MAX_MODULES,
    Built,
    Layer,
    TensorList,
    Tensors,
    build,
    check,
    construct,
)
from models.dtypes import DType
from models.errors import SpecError
from models.program import Program
from models.rules import Candidate
from models.tape import RecordingError, record


@dataclass(frozen=True, slots=True)
class Declared:
    """One tensor of an architecture: its names, type, and own init.

    `own` is None where there is none that the plan could hold, and `reason` says why;
    `path` is the place in the spec of the layer that holds it.
    """

    name: str
    aliases: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: DType
    kind: str
    own: Program | None
    path: str
    reason: str | None = None


@dataclass(frozen=True)
class Structure:
    """An architecture, built and recorded.

    `modules` are (dotted name, class name) of all but the root, in `named_modules()`
    order; `classes` the names of a module's class and its bases, by dotted name.
    """

    tensors: tuple[Declared, ...]
    root: str = ""
    modules: tuple[tuple[str, str], ...] = ()
    classes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)

    def candidates(self, tensor: Declared) -> list[Candidate]:
        """`tensor` under each of its names, with the classes of the module there."""
        return [
            Candidate(
                name=name,
                classes=self.classes.get(_owner(name), frozenset()),
                ndim=len(tensor.shape),
                kind=tensor.kind,
            )
            for name in (tensor.name, *tensor.aliases)
        ]

    def module_class(self, name: str) -> str:
        """The class of the module that holds the tensor `name`; empty without modules."""
        owner = _owner(name)
        return self._class_names.get(owner, "") if owner else self.root

    @cached_property
    def _class_names(self) -> Mapping[str, str]:
        return dict(self.modules)


def survey(architecture: Layer | Tensors, *, max_modules: int = MAX_MODULES) -> Structure:
    """`architecture` built on phantom tensors, its own init recorded and not run.

    Raises SpecError when it cannot be built or recorded.
    """
    if isinstance(architecture, Tensors):
        return Structure(tuple(_listed(build(architecture))))
    blueprint = check(architecture, max_modules=max_modules)
    built: list[Built] = []

    def make() -> nn.Module:
        built.append(construct(blueprint))
        return built[-1].module

    try:
        tape = record(make)
    except RecordingError as error:
        raise SpecError.at("architecture", str(error)) from None
    modules = dict(tape.module.named_modules(remove_duplicate=False))
    return Structure(
        tensors=tuple(
            Declared(
                *(tensor.name, tensor.aliases, tensor.shape, tensor.dtype, tensor.kind),
                own=tensor.program,
                path=built[-1].path_of(tensor.name),
                reason=tensor.reason,
            )
            for tensor in tape.tensors
        ),
        root=type(tape.module).__name__,
        modules=tuple((name, type(module).__name__) for name, module in modules.items() if name),
        classes={
            name: frozenset(cls.__name__ for cls in type(module).__mro__)
            for name, module in modules.items()
        },
        blobs=tape.literals,
    )


def _listed(tensors: TensorList) -> Iterator[Declared]:
    for tensor in tensors.tensors:
        yield Declared(
            *(tensor.name, (), tensor.shape, tensor.dtype, "parameter"), own=None, path=tensor.path
        )


def _owner(name: str) -> str:
    return name.rpartition(".")[0]
