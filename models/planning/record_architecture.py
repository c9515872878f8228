"""Structure of an architecture before any rule: its tensors, their own init, its modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import torch
from torch import nn

from seedpoint.models.architectures import (
    Architecture,
    Blueprint,
    Built,
    Foreign,
    Layer,
    LibraryModels,
    NamedTensor,
    Recipe,
    Tensors,
    broken_chains,
    build,
    check,
    construct,
    normalized,
    recipes_of,
)
from seedpoint.models.architectures.construction_limit import at_most
from seedpoint.models.architectures.shapes import Layout
from seedpoint.models.dtypes import BY_TORCH, DType
from seedpoint.models.errors import LimitExceeded, SpecError
from seedpoint.models.files.layout import METADATA_KEY
from seedpoint.models.initializers.base import ArgumentError
from seedpoint.models.plan import canonical_json
from seedpoint.models.plan.canonical_json import Serialized
from seedpoint.models.plan.program import Program
from seedpoint.models.plan.program_json import to_json
from seedpoint.models.plan.warning import PlanWarning
from seedpoint.models.planning.module_numbers import (
    NO_NUMBERS,
    ExpressionNames,
    ModuleNumbers,
    module_numbers,
)
from seedpoint.models.rules.rule import Candidate
from seedpoint.models.spec.limits import DEFAULT, Limits
from seedpoint.models.tape import RecordingError, Tape, TapeTensor, imagined, record
from seedpoint.models.validation.messages import listed

ORIGINALS = ("original1", "original")
"""Tensors of weight_norm and spectral_norm with the shape of the parametrized one."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One tensor of an architecture: its names, type and own init.

    `own` is None when the plan could hold no own init, and `reason` says why; `is_computable` says
    that running the module's code gives the values all the same. `path` is the position in the spec
    of the layer that holds the tensor. `keeps_dtype`: another library's model gives the tensor a
    dtype that is not the model's own, so the spec's default dtype does not change it.
    """

    name: str
    aliases: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: DType
    kind: str
    own: Program | None
    path: str
    reason: str | None = None
    is_computable: bool = False
    layout: Layout = "out_in"
    keeps_dtype: bool = False


@dataclass(frozen=True)
class Structure:
    """Architecture, built and recorded: the parts of a plan that rules and seed do not affect.

    `document` is its canonical form. `modules` are (dotted name, class name) of all modules but the
    root, in `named_modules()` order. `classes` maps a module's dotted name to the names of its
    class and base classes. `files` are the small text files that go with the tensors. `warnings`
    name parts of the architecture that have no effect. `numbers` maps a module's dotted name to
    those that expressions may name. `padding` are the rows of `padding_idx` by weight, `clones`
    the names of modules whose layers are copies of one.
    """

    tensors: tuple[Declared, ...]
    document: Serialized
    root: str = ""
    modules: tuple[tuple[str, str], ...] = ()
    classes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[PlanWarning, ...] = ()
    numbers: Mapping[str, ModuleNumbers] = field(default_factory=dict)
    padding: Mapping[str, int] = field(default_factory=dict)
    clones: tuple[str, ...] = ()

    @cached_property
    def candidates(self) -> tuple[tuple[Candidate, ...], ...]:
        """Candidates per tensor: one for each of its names, with the owning module's classes."""
        return tuple(tuple(self._candidates(tensor)) for tensor in self.tensors)

    def _candidates(self, tensor: Declared) -> Iterator[Candidate]:
        for name in (tensor.name, *tensor.aliases):
            classes = self.classes.get(_owner(name), frozenset())
            swept = tensor.kind == "parameter" or tensor.own is None
            yield Candidate(name, classes, len(tensor.shape), tensor.kind, swept)

    def module_class(self, name: str) -> str:
        """Return the class of the module that holds the tensor `name`; empty without modules."""
        owner = _owner(name)
        return self._class_names.get(owner, "") if owner else self.root

    def numbers_of(self, tensor: Declared) -> ModuleNumbers:
        """Return the numbers of the modules that hold a tensor; its canonical name goes first."""
        found = self.numbers.get(_owner(tensor.name), NO_NUMBERS)
        for name in tensor.aliases:
            found = found.over(self.numbers.get(_owner(name), NO_NUMBERS))
        return found

    def sibling(self, tensor: Declared, local: str) -> tuple[int, ...]:
        """Return the shape of another tensor of a module that holds `tensor`, under any name.

        A parametrized weight has the shape of the tensor that it is computed from.

        Raises:
            ArgumentError: None of the modules has such a tensor.
        """
        spellings = (local, *(f"parametrizations.{local}.{each}" for each in ORIGINALS))
        for name in (tensor.name, *tensor.aliases):
            for spelling in spellings:
                if (found := self._shapes.get(_beside(name, spelling))) is not None:
                    return found
        start = _beside(tensor.name, "")
        inner = [name.removeprefix(start) for name in self._shapes if name.startswith(start)]
        known = [name for name in inner if start + name != tensor.name]
        raise ArgumentError(
            "of",
            f"no tensor {local!r} beside it; "
            + (f"beside it: {listed(known)}" if known else "its module holds no other"),
        )

    @cached_property
    def expression_names(self) -> ExpressionNames:
        """Names that expressions may hold in layers with tensors."""
        owners = {_owner(n) for tensor in self.tensors for n in (tensor.name, *tensor.aliases)}
        held = {module: found for module, found in self.numbers.items() if module in owners}
        return ExpressionNames.of(
            held, lambda module: self.module_class(f"{module}." * bool(module))
        )

    @cached_property
    def _shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {
            name: tensor.shape for tensor in self.tensors for name in (tensor.name, *tensor.aliases)
        }

    @cached_property
    def _class_names(self) -> Mapping[str, str]:
        return dict(self.modules)


def check_size(architecture: Architecture, limits: Limits) -> None:
    """Check the counts that are known without building anything.

    Raises:
        LimitExceeded: A count is beyond its limit.
        SpecError: The architecture is faulty.
    """
    if isinstance(architecture, Tensors):
        limits.check_tensors(len(build(architecture).tensors))
    elif not isinstance(architecture, Foreign):
        _checked(architecture, limits)


def survey(
    architecture: Architecture, limits: Limits = DEFAULT, *, dtype: DType | None = None
) -> Structure:
    """Build `architecture` on phantom tensors and record its own init without running it.

    `dtype` is the dtype for another library's model; None keeps the model's own.

    Raises:
        SpecError: The architecture cannot be built or recorded.
        LimitExceeded: It has too many modules or tensors.
    """
    document = Serialized(canonical_json.representable(normalized(architecture)))
    if isinstance(architecture, Tensors):
        listed = build(architecture).tensors
        limits.check_tensors(len(listed))
        return Structure(tuple(map(_listed, listed)), document)
    blueprint = _checked(architecture, limits)
    recipes = recipes_of(blueprint.tree, dtype=dtype, max_modules=limits.modules)
    if isinstance(architecture, Foreign):
        return _library_model(recipes[blueprint.tree.path], limits, document)
    built: list[Built] = []
    library = LibraryModels(recipes, _wide, limits.modules)

    def make() -> nn.Module:
        built.append(construct(blueprint, library))
        return built[-1].module

    tape = _recorded(make, lambda: library.place or "architecture", limits)
    structure = _structure(tape, built[-1].path_of, document, built[-1].layout_of)
    models = {
        name: recipes[node.path] for name, node in built[-1].nodes.items() if node.path in recipes
    }
    stored = _as_stored(structure, tape.module, models)
    broken = tuple(PlanWarning("SP303", w.path, str(w)) for w in broken_chains(blueprint.tree))
    return replace(stored, warnings=stored.warnings + broken)


def _wide(recipe: Recipe) -> nn.Module:
    return recipe.make(recipe.wide)


def _library_model(recipe: Recipe, limits: Limits, document: Serialized) -> Structure:
    with at_most(limits.modules, recipe.path):
        tape = _recorded(partial(_wide, recipe), lambda: recipe.path, limits)
    if not tape.tensors:
        raise SpecError.at(recipe.path, f"{type(tape.module).__name__} has no tensors")
    count = sum(1 for _ in tape.module.modules())
    if count > limits.modules:
        message = f"has {count} modules; at most {limits.modules} are allowed"
        raise LimitExceeded.at(recipe.path, message)
    structure = _structure(tape, lambda _: recipe.path, document)
    structure = _as_stored(structure, tape.module, {"": recipe})
    return replace(structure, files=recipe.files(tape.module))


def _as_stored(structure: Structure, root: nn.Module, models: Mapping[str, Recipe]) -> Structure:
    """Return the structure with the dtypes of library models, by name, and their warnings."""
    if not models:
        return structure
    stored: dict[str, tuple[DType, bool]] = {}
    known: dict[str, Mapping[str, DType]] = {}
    for name, recipe in models.items():
        if recipe.path not in known:
            known[recipe.path] = _stored(recipe, root.get_submodule(name))
        for inner, dtype in known[recipe.path].items():
            full = f"{name}.{inner}" if name else inner
            stored[full] = dtype, dtype != recipe.dtype

    def as_stored(tensor: Declared) -> Declared:
        for each in (tensor.name, *tensor.aliases):
            if each in stored:
                dtype, keeps = stored[each]
                return replace(tensor, dtype=dtype, keeps_dtype=keeps)
        return tensor

    tensors = tuple(map(as_stored, structure.tensors))
    distinct = {recipe.path: recipe for recipe in models.values()}
    warnings = tuple(
        PlanWarning("SP301", fault.path, str(fault))
        for recipe in distinct.values()
        for fault in recipe.warnings
    )
    return replace(structure, tensors=tensors, warnings=warnings)


def _stored(recipe: Recipe, module: nn.Module) -> Mapping[str, DType]:
    """Return the dtypes in which a model's tensors are stored."""
    state = module.state_dict(keep_vars=True)
    wide = {name: BY_TORCH[value.dtype] for name, value in state.items() if _is_tensor(value)}
    made = _narrow(recipe, wide)
    return {**made, **recipe.dtypes(module, made)}


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)  # the extra state of a module may be any object


def _narrow(recipe: Recipe, wide: dict[str, DType]) -> dict[str, DType]:
    """Return the dtypes that the library gives its tensors; `wide` are the recorded dtypes."""
    if recipe.dtype == recipe.wide:
        return wide
    try:
        module = imagined(partial(recipe.make, recipe.dtype))
    except RecordingError as error:
        raise SpecError.at(recipe.path, str(error)) from None
    state = module.state_dict()
    return {name: BY_TORCH[state[name].dtype] for name in wide}


def _recorded(make: Callable[[], nn.Module], place: Callable[[], str], limits: Limits) -> Tape:
    """Record the construction of a module.

    Raises:
        SpecError: It cannot be recorded; the fault is at `place()`.
        LimitExceeded: It has too many tensors.
    """
    try:
        tape = record(make)
    except RecordingError as error:
        raise SpecError.at(place(), str(error)) from None
    limits.check_tensors(len(tape.tensors))
    return tape


def _checked(architecture: Layer, limits: Limits) -> Blueprint:
    blueprint = check(architecture, max_modules=limits.modules)
    limits.check_tensors(blueprint.least_tensors())
    return blueprint


def _structure(
    tape: Tape,
    path_of: Callable[[str], str],
    document: Serialized,
    layout_of: Callable[[str], Layout] = lambda _: "out_in",
) -> Structure:
    _check_names(tape.tensors, path_of)
    modules = dict(tape.module.named_modules(remove_duplicate=False))
    kinds = set(map(type, modules.values()))
    classes = {cls: frozenset(base.__name__ for base in cls.__mro__) for cls in kinds}
    programs: dict[str, Program] = {}
    return Structure(
        tensors=tuple(
            Declared(
                *(tensor.name, tensor.aliases, tensor.shape, tensor.dtype, tensor.kind),
                own=tensor.program and _one(tensor.program, programs),
                path=path_of(tensor.name),
                reason=tensor.reason,
                is_computable=tensor.is_defined,
                layout=layout_of(tensor.name),
            )
            for tensor in tape.tensors
        ),
        document=document,
        root=type(tape.module).__name__,
        modules=tuple((name, type(module).__name__) for name, module in modules.items() if name),
        classes={name: classes[type(module)] for name, module in modules.items()},
        blobs=tape.literals,
        numbers=module_numbers(modules),
        padding=dict(_padding(modules)),
        clones=tuple(name for name, module in modules.items() if _clones(module)),
    )


def _padding(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, int]]:
    for name, module in modules.items():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.padding_idx is not None:
            yield f"{name}.weight" if name else "weight", module.padding_idx


def _clones(module: nn.Module) -> bool:
    """Return whether PyTorch copied one layer, values included, to all layers of the module."""
    is_stack = isinstance(module, nn.TransformerEncoder | nn.TransformerDecoder)
    return is_stack and "layers.1" in dict(module.named_modules())


def _check_names(tensors: Sequence[TapeTensor], path_of: Callable[[str], str]) -> None:
    for tensor in tensors:
        if METADATA_KEY in {tensor.name, *tensor.aliases}:
            message = f"{METADATA_KEY!r} is reserved by the safetensors format"
            raise SpecError.at(path_of(METADATA_KEY), message)


def _one(program: Program, programs: dict[str, Program]) -> Program:
    """Return the one object shared by all programs with the same canonical text."""
    return programs.setdefault(canonical_json.text(to_json(program)), program)


def _listed(tensor: NamedTensor) -> Declared:
    return Declared(
        *(tensor.name, (), tensor.shape, tensor.dtype, "parameter"),
        own=None,
        path=tensor.path,
        layout=tensor.layout,
    )


def _beside(name: str, local: str) -> str:
    """Return the name of a tensor of the module that holds the tensor `name`."""
    return f"{name[: name.rfind('.') + 1]}{local}"


def _owner(name: str) -> str:
    return name.rpartition(".")[0]
