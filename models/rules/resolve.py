"""Application of a rule to a tensor: its sources in sequence, and its transforms."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass

from seedpoint.models.dtypes import DType, f32
from seedpoint.models.errors import SpecError
from seedpoint.models.initializers import ArgumentError, Initializer, Own, Target
from seedpoint.models.initializers.fans import Fans, default_fans
from seedpoint.models.initializers.transforms import EXACT
from seedpoint.models.plan import program
from seedpoint.models.plan.program import Part, Program, Source, Transform
from seedpoint.models.rules.rule import Rule, SplitPart, Won

Scope = Mapping[str, float | None]

# Used instead of str.format, whose fields reach attributes and ask for any width.
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Subject:
    """Tensor that a rule is applied to."""

    name: str
    shape: tuple[int, ...]
    dtype: DType


@dataclass(frozen=True, slots=True)
class Resolved:
    """Effect of a rule on one tensor.

    `sources` are applied one after another, each overwriting the whole tensor; an empty tuple keeps
    the tensor's own init. `transforms` follow.
    """

    sources: tuple[Source, ...]
    transforms: tuple[Transform, ...]
    fans: Fans | None


def resolve(
    rule: Rule,
    won: Won,
    subject: Subject,
    constants: Mapping[str, float],
    blobs: MutableMapping[str, bytes],
) -> Resolved:
    """Return the effect of `rule` on `subject`; bytes of literals are added to `blobs`.

    Raises:
        SpecError: At the rule's place in the spec, if the tensor cannot take the rule.
    """
    path = f"init.rules.{won.index}"
    scope = {**constants, **won.captures}
    whole = _target(rule, path, subject, subject.shape, scope, blobs)
    if _is_own(rule, path):
        sources: tuple[Source, ...] = ()
    elif rule.splits is None:
        sources = tuple(_sources(rule, path, subject.name, whole))
    else:
        sources = tuple(_split_sources(rule, path, subject, scope, blobs))
    return Resolved(sources, tuple(_transforms(rule, path, subject, whole)), whole.fans)


def _is_own(rule: Rule, path: str) -> bool:
    own = [isinstance(initializer, Own) for initializer in rule.initializers]
    if not any(own):
        return False
    if len(own) > 1 or rule.splits is not None:
        raise SpecError.at(
            f"{path}.initializer", "own must be the only initializer of its rule, without splits"
        )
    return True


def _target(
    rule: Rule,
    path: str,
    subject: Subject,
    shape: tuple[int, ...],
    scope: Scope,
    blobs: MutableMapping[str, bytes],
) -> Target:
    with _fault(f"{path}.fan", subject.name):
        fans = default_fans(shape) if rule.fan is None else rule.fan.of(shape)
    names = {
        "fan_in": None if fans is None else fans.fan_in,
        "fan_out": None if fans is None else fans.fan_out,
        "numel": math.prod(shape),
        "ndim": len(shape),
    }
    return Target(shape, subject.dtype, fans, {**names, **scope}, blobs)


def _sources(rule: Rule, path: str, name: str, target: Target) -> Iterator[Source]:
    many = isinstance(rule.initializer, tuple)
    for number, initializer in enumerate(rule.initializers):
        at = f"{path}.initializer.{number}" if many else f"{path}.initializer"
        with _fault(at, name):
            yield _source(initializer, target)


def _source(initializer: Initializer, target: Target) -> Source:
    if initializer.draws and not target.dtype.is_floating:
        raise ValueError(
            f"random values need a floating dtype, not {target.dtype}; "
            "use constant, zeros, ones or values"
        )
    try:
        return initializer.source(target)
    except ArgumentError as error:
        if 0 in target.shape and error.divides_by_zero:
            return program.Constant(0.0)
        raise
    except ZeroDivisionError:
        if 0 in target.shape:
            return program.Constant(0.0)
        raise ValueError("a fan is zero, and the initializer divides by it") from None


def _split_sources(
    rule: Rule,
    path: str,
    subject: Subject,
    scope: Scope,
    blobs: MutableMapping[str, bytes],
) -> Iterator[Source]:
    """Yield, for each initializer, the split whose parts are each initialized by themselves."""
    assert rule.splits is not None
    axis, ndim = rule.splits.axis, len(subject.shape)
    with _fault(f"{path}.splits.axis", subject.name):
        if not -ndim <= axis < ndim:
            raise ValueError(f"axis {axis} is outside a tensor of {ndim} dimensions")
    axis %= ndim
    total = sum(part.size for part in rule.splits.parts)
    with _fault(f"{path}.splits.parts", subject.name):
        if total != subject.shape[axis]:
            raise ValueError(f"sizes sum to {total}; axis {axis} has {subject.shape[axis]}")
    columns: list[list[Part]] = []
    for number, part in enumerate(rule.splits.parts):
        shape = (*subject.shape[:axis], part.size, *subject.shape[axis + 1 :])
        target = _target(rule, path, subject, shape, scope, blobs)
        with _fault(f"{path}.splits.parts.{number}.as", subject.name):
            stream = _stream(part, scope)
        sources = _sources(rule, path, subject.name, target)
        columns.append([Part(part.size, Program(program.keyed(s, stream))) for s in sources])
    for parts in zip(*columns, strict=True):
        yield program.Split(axis, parts)


def _stream(part: SplitPart, scope: Scope) -> str | None:
    if part.as_ is None:
        return None

    def filled(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        value = scope.get(found[1]) if found[1] else None
        if value is None or value != int(value):
            raise ValueError(
                f"{found[0]!r} in {part.as_!r} is not a captured integer; captured: "
                f"{sorted(scope)}; write '{{{{' and '}}}}' for braces"
            )
        return str(int(value))

    stream = _FIELD.sub(filled, part.as_)
    if not stream or _SURROGATE.search(stream):
        raise ValueError(f"{part.as_!r} cannot name a stream: it is empty or not valid UTF-8")
    return stream


def _transforms(rule: Rule, path: str, subject: Subject, target: Target) -> Iterator[Transform]:
    for number, transform in enumerate(rule.transforms):
        with _fault(f"{path}.transforms.{number}", subject.name):
            if not (subject.dtype.is_floating or isinstance(transform, EXACT)):
                raise ValueError(f"{transform.type} needs a floating tensor, not {subject.dtype}")
            resolved = transform.resolve(subject.shape, target.exact)
            if isinstance(resolved, program.SetElement) and not subject.dtype.takes(resolved.value):
                raise ArgumentError(
                    "value", f"{resolved.value} is not a value that {subject.dtype} can hold"
                )
            yield resolved


def check_single(transforms: Iterable[Transform], path: str, name: str) -> None:
    """Check that the constants of transforms are finite in float32, in which they are computed.

    `path` is the place of the rule that has these `transforms`.

    Raises:
        SpecError: For a constant that is infinite in float32.
    """
    for number, transform in enumerate(transforms):
        for argument in ("value", "min", "max"):
            constant = getattr(transform, argument, None)
            if constant is not None and not math.isfinite(f32(constant)):
                raise SpecError.at(
                    f"{path}.transforms.{number}.{argument}",
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
