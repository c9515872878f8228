"""Indices, slices and lists of them along the axes of a tensor."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

Shape = tuple[int, ...]
Stretch = tuple[int, int, int]
"""(start, stop, step) of some indices along an axis, none of them negative."""

_SLICE = re.compile(r"\s*(-?\d{1,19})?\s*:\s*(-?\d{1,19})?\s*(?::\s*(\d{1,19})?\s*)?")
_MOST_INDICES = 100_000
_MOST_BOXES = 1000
_FORMS = 'an integer, a slice such as "128:256" or "50:", or a list of them'


def _one(value: Any) -> int | str:
    if isinstance(value, str) and (found := _SLICE.fullmatch(value)):
        if found[3] is not None and not int(found[3]):
            raise ValueError(f"the step of slice {value!r} must be at least 1")
        return "".join(value.split())
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be {_FORMS}")
    return value


def _any(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return _one(value)
    if not 1 <= len(value) <= _MOST_INDICES:
        raise ValueError(f"must be a list of at least 1 and at most {_MOST_INDICES}")
    return tuple(map(_one, value))


def _single(value: Any) -> Any:
    """Return the slice of a list of one, which means the same, and any other value unchanged."""
    is_slice = isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], str)
    return value[0] if is_slice else value


def _listed(value: Any) -> Any:
    """Return an integer as a list of one, and a list of one slice as that slice."""
    return (value,) if isinstance(value, int) else _single(value)


_ONE = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
_SCHEMA = {
    "anyOf": [*_ONE["anyOf"], {"type": "array", "items": _ONE, "minItems": 1}],
    "description": f"{_FORMS[0].upper()}{_FORMS[1:]}; negative numbers count from the end.",
}

_SERIALIZER = PlainSerializer(lambda value: list(value) if isinstance(value, tuple) else value)
Indices = Annotated[
    Any, PlainValidator(lambda value: _single(_any(value))), _SERIALIZER, WithJsonSchema(_SCHEMA)
]
"""Indices along one axis; a list of one slice is that slice."""
Rows = Annotated[
    Any, PlainValidator(lambda value: _listed(_any(value))), _SERIALIZER, WithJsonSchema(_SCHEMA)
]
"""Indices along one axis; an integer is a list of one."""


def is_plain(indices: Iterable[Any]) -> bool:
    """Return whether all are integers, without a slice or list."""
    return all(isinstance(index, int) for index in indices)


def place(index: int, size: int, what: str) -> int:
    """Return a non-negative index along an axis of `size`.

    Raises:
        ValueError: The index is outside the axis.
    """
    if not -size <= index < size:
        raise ValueError(f"{what} {index} is outside 0..{size - 1}")
    return index % size


def stretches(indices: Any, size: int, what: str) -> list[Stretch]:
    """Return the places of `indices` along an axis of `size`; single ones are joined.

    Raises:
        ValueError: An index is outside the axis, or a slice of an axis with elements is empty.
    """
    given = indices if isinstance(indices, tuple) else (indices,)
    singles = sorted({place(index, size, what) for index in given if isinstance(index, int)})
    return list(_joined(singles)) + [
        _stretch(text, size, what) for text in given if isinstance(text, str)
    ]


def boxes(indices: Sequence[Any], shape: Shape, what: str) -> list[tuple[Stretch, ...]]:
    """Return the boxes that one index for each axis covers; omitted last axes are whole.

    A tensor without elements has none.

    Raises:
        ValueError: There are more indices than axes, or one does not fit.
    """
    if len(indices) > len(shape):
        raise ValueError(f"{what} has {len(indices)} axes for a tensor of shape {shape}")
    axes = [
        stretches(index, size, f"{what} at axis {axis}")
        for axis, (index, size) in enumerate(zip(indices, shape, strict=False))
    ]
    axes += [[(0, size, 1)] for size in shape[len(indices) :]]
    if 0 in shape:
        return []
    found = list(itertools.islice(itertools.product(*axes), _MOST_BOXES + 1))
    if len(found) > _MOST_BOXES:
        raise ValueError(f"{what} covers more than {_MOST_BOXES} separate boxes; use slices")
    return found


def _stretch(text: str, size: int, what: str) -> Stretch:
    first, last, *step = (int(number) if number else None for number in text.split(":"))
    taken = range(*slice(first, last, *step).indices(size))
    if not taken and size:
        raise ValueError(f"{what} {text!r} takes nothing of 0..{size - 1}")
    return (taken.start, taken.stop, taken.step)


def _joined(places: Sequence[int]) -> Iterator[Stretch]:
    """Yield ascending distinct places as stretches of equal steps."""
    at = 0
    while at < len(places):
        step = places[at + 1] - places[at] if at + 1 < len(places) else 1
        last = at + 1
        while last < len(places) and places[last] - places[last - 1] == step:
            last += 1
        yield (places[at], places[last - 1] + 1, step)
        at = last
