"""Structure of an architecture before any rule: its tensors, their own init, its modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from torch import nn

from seedpoint.models.architectures import (
    Architecture,
    Blueprint,
    Built,
    Foreign,
    Layer,
    NamedTensor,
    Recipe,
    Tensors,
    broken_chains,
    build,
    check,
    construct,
    normalized,
)
from seedpoint.models.architectures.construction_limit import at_most
from seedpoint.models.dtypes import BY_TORCH, DType
from seedpoint.models.errors import LimitExceeded, SpecError
from seedpoint.models.files.layout import METADATA_KEY
from seedpoint.models.plan import canonical_json
from seedpoint.models.plan.canonical_json import Serialized
from seedpoint.models.plan.program import Program, to_json
from seedpoint.models.plan.warning import PlanWarning
from seedpoint.models.rules.rule import Candidate
from seedpoint.models.spec.limits import DEFAULT, Limits
from seedpoint.models.tape import RecordingError, Tape, TapeTensor, imagined, record


@dataclass(frozen=True, slots=True)
class Declared:
    """One tensor of an architecture: its names, type and own init.

    `own` is None when the plan could hold no own init, and `reason` says why; `is_computable` says
    that running the module's code gives the values all the same. `path` is the position in the spec
    of the layer that holds the tensor.
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


@dataclass(frozen=True)
class Structure:
    """Architecture, built and recorded: the parts of a plan that rules and seed do not affect.

    `document` is its canonical form. `modules` are (dotted name, class name) of all modules but the
    root, in `named_modules()` order. `classes` maps a module's dotted name to the names of its
    class and base classes. `files` are the small text files that go with the tensors. `dtype` is
    the dtype of the library's model; its tensors of another dtype keep theirs. `warnings` name
    parts of the architecture that have no effect. `padding` are the rows of `padding_idx` by
    weight, `clones` the names of modules whose layers are copies of one.
    """

    tensors: tuple[Declared, ...]
    document: Serialized
    root: str = ""
    modules: tuple[tuple[str, str], ...] = ()
    classes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    dtype: DType | None = None
    warnings: tuple[PlanWarning, ...] = ()
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
    elif isinstance(architecture, Layer):
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
    if isinstance(architecture, Foreign):
        recipe = architecture.recipe("architecture", dtype=dtype, max_modules=limits.modules)
        return _foreign(recipe, limits, document)
    blueprint = _checked(architecture, limits)
    built: list[Built] = []

    def make() -> nn.Module:
        built.append(construct(blueprint))
        return built[-1].module

    tape = _recorded(make, "architecture", limits)
    structure = _structure(tape, built[-1].path_of, document)
    broken = (PlanWarning("SP303", w.path, str(w)) for w in broken_chains(blueprint.tree))
    return replace(structure, warnings=tuple(broken))


def _foreign(recipe: Recipe, limits: Limits, document: Serialized) -> Structure:
    with at_most(limits.modules, recipe.path):
        tape = _recorded(partial(recipe.make, recipe.wide), recipe.path, limits)
    if not tape.tensors:
        raise SpecError.at(recipe.path, f"{type(tape.module).__name__} has no tensors")
    count = sum(1 for _ in tape.module.modules())
    if count > limits.modules:
        message = f"has {count} modules; at most {limits.modules} are allowed"
        raise LimitExceeded.at(recipe.path, message)
    structure = _structure(tape, lambda _: recipe.path, document)
    made = _narrow(recipe, {tensor.name: tensor.dtype for tensor in structure.tensors})
    stored = {**made, **recipe.dtypes(tape.module, made)}
    tensors = tuple(replace(tensor, dtype=stored[tensor.name]) for tensor in structure.tensors)
    files = recipe.files(tape.module)
    warnings = tuple(PlanWarning("SP301", w.path, str(w)) for w in recipe.warnings)
    return replace(structure, tensors=tensors, files=files, dtype=recipe.dtype, warnings=warnings)


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


def _recorded(make: Callable[[], nn.Module], path: str, limits: Limits) -> Tape:
    """Record the construction of a module.

    Raises:
        SpecError: It cannot be recorded; the fault is at `path`.
        LimitExceeded: It has too many tensors.
    """
    try:
        tape = record(make)
    except RecordingError as error:
        raise SpecError.at(path, str(error)) from None
    limits.check_tensors(len(tape.tensors))
    return tape


def _checked(architecture: Layer, limits: Limits) -> Blueprint:
    blueprint = check(architecture, max_modules=limits.modules)
    limits.check_tensors(blueprint.least_tensors())
    return blueprint


def _structure(tape: Tape, path_of: Callable[[str], str], document: Serialized) -> Structure:
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
            )
            for tensor in tape.tensors
        ),
        document=document,
        root=type(tape.module).__name__,
        modules=tuple((name, type(module).__name__) for name, module in modules.items() if name),
        classes={name: classes[type(module)] for name, module in modules.items()},
        blobs=tape.literals,
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
        *(tensor.name, (), tensor.shape, tensor.dtype, "parameter"), own=None, path=tensor.path
    )


def _owner(name: str) -> str:
    return name.rpartition(".")[0]
