"""Application of a rule to a tensor: its sources in sequence, and its transforms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from seedpoint.models.dtypes import DType, f32
from seedpoint.models.errors import SpecError
from seedpoint.models.initializers import ArgumentError, Initializer, Own, Target
from seedpoint.models.initializers.base import Other
from seedpoint.models.initializers.captured import filled
from seedpoint.models.initializers.fans import Fans, FanSpec, Surroundings, default_fans
from seedpoint.models.initializers.stacked import stacked
from seedpoint.models.initializers.transforms import EXACT, TransformSpec
from seedpoint.models.plan import program
from seedpoint.models.plan.program import Part, Program, Source, Transform
from seedpoint.models.plan.warning import PlanWarning
from seedpoint.models.rules.rule import InitializerList, Rule, SplitPart, Splits, Won

Scope = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Subject:
    """Tensor that a rule is applied to.

    `numbers` are those of its layer and of its model's config, which expressions may name.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    around: Surroundings = field(default_factory=Surroundings)
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Effect of a rule on one tensor.

    `sources` are applied one after another, each overwriting the whole tensor but the parts that
    keep its own init (`Base`); an empty tuple keeps it all. `transforms` follow; `places` are the
    numbers of those in the spec that they come from.
    """

    sources: tuple[Source, ...]
    transforms: tuple[Transform, ...]
    fans: Fans | None
    places: tuple[int, ...] = ()
    warnings: tuple[PlanWarning, ...] = ()

    @property
    def keeps_own(self) -> bool:
        """True when some elements keep the tensor's own init."""
        return not self.sources or (
            isinstance(split := self.sources[-1], program.Split)
            and any(isinstance(part.program.source, program.Base) for part in split.parts)
        )


@dataclass(frozen=True, slots=True)
class _Piece:
    """Tensor or part of one: the place in the spec of what fills it, and what that is.

    `at` is the path of the rule or of the part; initializers and fan may stand in either.
    """

    at: str
    subject: Subject
    scope: Scope
    blobs: MutableMapping[str, bytes]
    fan: FanSpec | None
    fan_at: str
    other: Callable[[str], Other]

    def target(self, shape: tuple[int, ...]) -> Target:
        """Return what initializers are resolved against."""
        around = self.subject.around
        batch: set[int] = set()
        with _fault(f"{self.fan_at}.fan", self.subject.name):
            if self.fan is None:
                fans = default_fans(shape, around.layout)
            else:
                fans, batch = self.fan.fans(shape, around), self.fan.batch(shape)
        names = {
            "fan_in": None if fans is None else fans.fan_in,
            "fan_out": None if fans is None else fans.fan_out,
            "numel": math.prod(shape),
            "ndim": len(shape),
        }
        scope = {**self.subject.numbers, **names, **self.scope}
        dtype = self.subject.dtype
        return Target(
            shape=shape,
            dtype=dtype,
            fans=fans,
            scope=scope,
            blobs=self.blobs,
            layout=around.layout,
            batch_axes=frozenset(batch),
            other=self.other,
        )


def resolve(
    rule: Rule,
    won: Won,
    subject: Subject,
    constants: Mapping[str, float],
    blobs: MutableMapping[str, bytes],
    other: Callable[[str], Other],
) -> Resolved:
    """Return the effect of `rule` on `subject`; bytes of literals are added to `blobs`.

    `other` returns another tensor of the checkpoint, which a copy is of.

    Raises:
        SpecError: At the rule's place in the spec, if the tensor cannot take the rule.
    """
    path = f"init.rules.{won.index}"
    piece = _Piece(path, subject, {**constants, **won.captures}, blobs, rule.fan, path, other)
    whole = piece.target(subject.shape)
    if rule.splits is None:
        sources = _sources(rule.initializer, path, subject.name, whole)
        if any(isinstance(source, program.Base) for source in sources):
            sources = ()
    else:
        sources = tuple(_split_sources(rule, piece))
    numbered = tuple(_transforms(rule.transforms, path, subject, whole))
    transforms = tuple(transform for _, transform in numbered)
    places = tuple(number for number, _ in numbered)
    return Resolved(sources, transforms, whole.fans, places, tuple(_warnings(rule, path, subject)))


def _warnings(rule: Rule, path: str, subject: Subject) -> Iterator[PlanWarning]:
    if rule.fan is not None and rule.fan.may_be_stacked(subject.shape, subject.around):
        yield PlanWarning(
            "SP106",
            f"{path}.fan",
            f"{path}.fan: axis 0 is in neither list and counts as receptive field, in both fans; "
            'for separate weights stacked along it, add "batch_axes": [0]',
        )


def _sources(given: InitializerList, path: str, name: str, target: Target) -> tuple[Source, ...]:
    """Return the sources of a rule's or a part's initializers; `Base` for `own`."""
    if not isinstance(given, tuple):
        return (_source_at(given, f"{path}.initializer", name, target),)
    if len(given) > 1 and any(isinstance(initializer, Own) for initializer in given):
        raise SpecError.at(f"{path}.initializer", "own must be the only initializer of its list")
    return tuple(
        _source_at(initializer, f"{path}.initializer.{number}", name, target)
        for number, initializer in enumerate(given)
    )


def _source_at(initializer: Initializer, path: str, name: str, target: Target) -> Source:
    with _fault(path, name):
        if isinstance(initializer, Own):
            return program.Base()
        if initializer.draws and not target.dtype.is_floating:
            pairs = ", of [real, imaginary]" if target.dtype.torch.is_complex else ""
            raise ValueError(
                f"random values need a floating dtype, not {target.dtype}; "
                f"use constant, zeros, ones or values{pairs}"
            )
        try:
            return stacked(initializer, target)
        except ArgumentError as error:
            if 0 in target.shape and error.has_no_value:
                return program.Constant(0.0)
            raise
        except ZeroDivisionError:
            if 0 in target.shape:
                return program.Constant(0.0)
            raise ValueError("a fan is zero, and the initializer divides by it") from None


def _split_sources(rule: Rule, piece: _Piece) -> Iterator[Source]:
    """Yield, for each initializer, the split whose parts are each initialized by themselves.

    Parts with fewer initializers keep their elements until their first one.
    """
    splits, subject = rule.splits, piece.subject
    assert splits is not None
    axis, ndim = splits.axis, len(subject.shape)
    with _fault(f"{piece.at}.splits.axis", subject.name):
        if not -ndim <= axis < ndim:
            raise ValueError(f"axis {axis} is outside a tensor of {ndim} dimensions")
    axis %= ndim
    total = sum(part.size for part in splits.parts) * splits.repeat
    with _fault(f"{piece.at}.splits.parts", subject.name):
        if total != subject.shape[axis]:
            repeated = "" if splits.repeat == 1 else f" in {splits.repeat} repetitions"
            raise ValueError(
                f"sizes sum to {total}{repeated}; axis {axis} has {subject.shape[axis]}"
            )
    turns = splits.repeat if any(part.as_ is not None for part in splits.parts) else 1
    columns = []
    made: dict[tuple[int, str], list[Program]] = {}
    for turn in range(turns):
        for number, part in enumerate(splits.parts):
            key = (part.size, _own_options(part))
            if key not in made:
                made[key] = list(_part_programs(rule, piece, part, number, axis))
            stream = _stream_at(piece, splits, number, turn)
            columns.append(
                [
                    Part(part.size, replace(each, source=program.keyed(each.source, stream)))
                    for each in made[key]
                ]
            )
    steps = max(map(len, columns))
    for step in range(steps):
        parts = (
            column[step - steps + len(column)]
            if step >= steps - len(column)
            else Part(column[0].size, Program(program.Base()))
            for column in columns
        )
        yield program.Split(axis, tuple(parts), repeat=splits.repeat // turns)


def _own_options(part: SplitPart) -> str:
    """Return what a part has of its own, as text that is equal for equal parts."""
    if part.initializer is None and not part.transforms and part.fan is None:
        return ""
    return part.model_dump_json(exclude={"size", "as_"})


def _part_programs(
    rule: Rule, piece: _Piece, part: SplitPart, number: int, axis: int
) -> Iterator[Program]:
    """Yield the program of each initializer of a part; its transforms follow the last."""
    subject, path = piece.subject, f"{piece.at}.splits.parts.{number}"
    shape = (*subject.shape[:axis], part.size, *subject.shape[axis + 1 :])
    if part.fan is not None:
        piece = replace(piece, fan=part.fan, fan_at=path)
    target = piece.target(shape)
    if part.initializer is None:
        sources = _sources(rule.initializer, piece.at, subject.name, target)
    else:
        sources = _sources(part.initializer, path, subject.name, target)
    transforms = _transforms(part.transforms, path, replace(subject, shape=shape), target)
    *earlier, last = sources
    yield from map(Program, earlier)
    yield Program(last, tuple(transform for _, transform in transforms))


def _stream_at(piece: _Piece, splits: Splits, number: int, turn: int) -> str | None:
    part, scope = splits.parts[number], piece.scope
    with _fault(f"{piece.at}.splits.parts.{number}.as", piece.subject.name):
        if splits.repeat > 1 and part.as_ is not None:
            if "{repeat}" not in part.as_:
                raise ValueError(
                    f"{part.as_!r} would name {splits.repeat} parts alike, and all would hold the "
                    "same values; write {repeat} for the number of the repetition"
                )
            scope = {"repeat": turn, **scope}
        return _stream(part, scope)


def _stream(part: SplitPart, scope: Scope) -> str | None:
    if part.as_ is None:
        return None

    return filled(part.as_, scope)


def _transforms(
    transforms: Sequence[TransformSpec], path: str, subject: Subject, target: Target
) -> Iterator[tuple[int, Transform]]:
    """Yield each transform of the plan, with the number of that in the spec."""
    for number, transform in enumerate(transforms):
        with _fault(f"{path}.transforms.{number}", subject.name):
            if not (subject.dtype.is_floating or isinstance(transform, EXACT)):
                raise ValueError(f"{transform.type} needs a floating tensor, not {subject.dtype}")
            for resolved in _resolved(transform, subject.shape, target):
                if isinstance(resolved, program.SetElement | program.FillRegion) and not (
                    subject.dtype.takes(resolved.value)
                ):
                    raise ArgumentError(
                        "value", f"{resolved.value} is not a value that {subject.dtype} can hold"
                    )
                yield number, resolved


def _resolved(
    transform: TransformSpec, shape: tuple[int, ...], target: Target
) -> Iterator[Transform]:
    """Yield the transforms of the plan; none if an argument has no value for an empty tensor."""
    try:
        yield from transform.resolve(shape, target.exact)
    except ArgumentError as error:
        if 0 not in shape or not error.has_no_value:
            raise


def check_single(resolved: Resolved, path: str, name: str) -> None:
    """Check that the constants of transforms are finite in float32, in which they are computed.

    `path` is the place of the rule.

    Raises:
        SpecError: For a constant that is infinite in float32.
    """
    for number, transform in zip(resolved.places, resolved.transforms, strict=True):
        _check_constants(transform, f"{path}.transforms.{number}", name)
    split = resolved.sources[-1] if resolved.sources else None
    for number, part in enumerate(split.parts if isinstance(split, program.Split) else ()):
        for transform in part.program.transforms:
            _check_constants(transform, f"{path}.splits.parts.{number}.transforms", name)


def _check_constants(transform: Transform, path: str, name: str) -> None:
    for argument in ("value", "min", "max"):
        constant = getattr(transform, argument, None)
        if constant is not None and not math.isfinite(f32(constant)):
            raise SpecError.at(
                f"{path}.{argument}",
                f"'{name}': {constant} is infinite in float32, in which this "
                "tensor's transforms are computed",
            )


@contextmanager
def _fault(path: str, name: str) -> Iterator[None]:
    """Turn an error of an initializer into a fault at its place in the spec."""
    try:
        yield
    except ArgumentError as error:
        raise SpecError.at(f"{path}.{error.argument}", f"'{name}': {error}") from None
    except SpecError:
        raise
    except (ValueError, OverflowError) as error:
        raise SpecError.at(path, f"'{name}': {error}") from None
