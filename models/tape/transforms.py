"""Recorded pointwise functions and partial writes, as transforms of programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from seedpoint.models.draws import Draw
from seedpoint.models.plan.program import (
    Add,
    Clamp,
    Divide,
    Exp,
    Expm1,
    FillRegion,
    Log,
    Plus,
    Pointwise,
    Program,
    Scale,
    Transform,
    ZeroRows,
)
from seedpoint.models.tape.geometry import Box, count, meet
from seedpoint.models.tape.value_graph import Filled, Mapped, Value

_FUNCTIONS: dict[str, Transform] = {"exp": Exp(), "expm1": Expm1(), "log": Log()}

Patches = Sequence[tuple[Box, Value]]


class InexpressibleError(Exception):
    """Value that no program expresses; the message names the part and the reason."""


def transforms_of(mapped: Mapped) -> tuple[Transform, ...]:
    """Return the transforms for the outermost function of `mapped`.

    Raises:
        InexpressibleError: No transform matches the function and its arguments.
    """
    given = dict(mapped.arguments)
    numbers = {k: v for k, v in given.items() if isinstance(v, int | float)}
    if all(value is None or name in numbers for name, value in given.items()):
        match mapped.function, numbers:
            case "mul", {"other": value, **rest} if not rest:
                return (Scale(float(value)),)
            case "div", {"other": value, **rest} if not rest and _is_power_of_two(value):
                return (Scale(1 / value),)
            case "div", {"other": value, **rest} if not rest and value != 0:
                return (Divide(float(value)),)
            case "neg", _:
                return (Scale(-1.0),)
            case "add", {"other": value, **rest} if rest.keys() <= {"alpha"}:
                return (Add(float(value) * rest.get("alpha", 1)),)
            case "sub", {"other": value, **rest} if rest.keys() <= {"alpha"}:
                return (Add(-float(value) * rest.get("alpha", 1)),)
            case "rsub", {"other": value, **rest} if rest.keys() <= {"alpha"}:
                return (Scale(-float(rest.get("alpha", 1))), Add(float(value)))
            case "clamp" | "clamp_min" | "clamp_max", {**bounds}:
                return (Clamp(**{name: float(bound) for name, bound in bounds.items()}),)
            case "exp" | "expm1" | "log", _ if not given:
                return (_FUNCTIONS[mapped.function],)
    shown = ", ".join(f"{name}={value}" for name, value in given.items())
    raise InexpressibleError(f"there is no transform for {mapped.function}({shown})")


def joined(left: Program, right: Program, *, place: str) -> Program:
    """Return the sum of two programs of the same draw, if one continues the other.

    Raises:
        InexpressibleError: The programs differ otherwise, or the continuation is not pointwise.
    """
    shorter, longer = sorted((left, right), key=lambda program: len(program.transforms))
    done = len(shorter.transforms)
    rest = longer.transforms[done:]
    follows = shorter == Program(longer.source, longer.transforms[:done])
    pointwise = [step for step in rest if isinstance(step, Pointwise)]
    if not follows or not isinstance(shorter.source, Draw) or len(pointwise) < len(rest):
        raise InexpressibleError(f"{place} has no program: it mixes tensors")
    return replace(shorter, transforms=(*shorter.transforms, Plus(tuple(pointwise))))


def patched(program: Program, patches: Patches, size: tuple[int, ...]) -> Program:
    """Return `program` followed by `patches`, which must be fills.

    Raises:
        InexpressibleError: A patch is not a fill, or its value is complex.
    """
    fills = []
    for region, value in patches:
        if not isinstance(value, Filled) or isinstance(value.value, complex):
            raise InexpressibleError("its parts are made in different ways")
        fills.append(_fill(region, float(value.value), size))
    return replace(program, transforms=(*program.transforms, *fills))


def tiling(regions: Sequence[Box], size: tuple[int, ...]) -> tuple[int, int]:
    """Return how many of the first `regions` tile the tensor side by side, and along which axis.

    Raises:
        InexpressibleError: No leading `regions` tile the tensor.
    """
    total = 0
    for tiles, region in enumerate(regions, 1):
        total += count(region)
        if total == math.prod(size):
            cut = {k for r in regions[:tiles] for k, n in enumerate(size) if r[k] != (0, n, 1)}
            if len(cut) == 1 and _side_by_side(regions[:tiles], axis := cut.pop()):
                return tiles, axis
    raise InexpressibleError("its parts are not adjacent, or not all of them were written")


def _side_by_side(regions: Sequence[Box], axis: int) -> bool:
    ordered = sorted(regions, key=lambda region: region[axis].start)
    steps = all(region[axis].step == 1 for region in regions)
    return steps and not any(meet(a, b) for a, b in pairwise(ordered))


def _fill(region: Box, value: float, size: tuple[int, ...]) -> Transform:
    whole_rows = all(span == (0, n, 1) for span, n in zip(region[1:], size[1:], strict=True))
    zero = value == 0 and math.copysign(1, value) > 0
    if zero and whole_rows and len(range(*region[0])) == 1 and len(size) > 1:
        return ZeroRows((region[0].start,))
    return FillRegion(tuple((start, stop, step) for start, stop, step in region), value)


def _is_power_of_two(value: float) -> bool:
    return value != 0 and abs(math.frexp(value)[0]) == 0.5
