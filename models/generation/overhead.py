"""Overhead of short ranges: elements that are generated only to compute others."""

from __future__ import annotations

import math

from seedpoint.models.plan.program import Copy, Norms, Program, SingularVector, Split, Sum

Shape = tuple[int, ...]

SPAN_ELEMENTS = 1 << 16  # longest short range, in elements of one byte
CALL_ELEMENTS = 1 << 10  # elements that take as long as a call for a part or a run
LIGHT_ELEMENTS = 1 << 17  # most overhead of a light program: less than a millisecond


def is_light(program: Program, shape: Shape) -> bool:
    """Return whether every short range of a tensor of `shape` takes less than a millisecond.

    Whole tensors count as computed.
    """
    return overhead(program, shape) <= LIGHT_ELEMENTS


def overhead(program: Program, shape: Shape) -> int:
    """Return the most elements generated beside those of a range of SPAN_ELEMENTS.

    The time of calls is included, as a number of elements.
    """
    match program.source:
        case Norms() as norms:
            return math.prod(norms.shape) + overhead(norms.of, norms.shape)
        case SingularVector() as vector:
            elements = math.prod(vector.shape) * (1 + 2 * vector.iterations)
            return elements + overhead(vector.of, vector.shape)
        case Sum(terms=terms):
            others = (len(terms) - 1) * SPAN_ELEMENTS
            return others + sum(overhead(term, shape) for term in terms)
        case Copy() as copy:
            calls = _calls(_run_elements(copy, shape))
            return min(math.prod(copy.shape), calls) + overhead(copy.of, copy.shape)
        case Split() as split:
            return _split(split, shape)
        case _:
            return 0


def _calls(run_elements: int) -> int:
    """Return the overhead of a short range in runs of `run_elements` elements with a call each."""
    runs = SPAN_ELEMENTS // max(run_elements, 1) + 1
    return runs * CALL_ELEMENTS if runs > 1 else 0


def _run_elements(copy: Copy, shape: Shape) -> int:
    """Return the length of the shortest runs of a copy that are runs of the other tensor too."""
    elements = 1
    for size, stride in zip(reversed(shape), reversed(copy.strides), strict=True):
        if size > 1 and stride != elements:
            return elements
        elements *= size
    return SPAN_ELEMENTS + 1


def _split(split: Split, shape: Shape) -> int:
    inner = math.prod(shape[split.axis + 1 :])
    narrowest = min((part.size for part in split.parts), default=1) * inner
    parts = min(split.count, SPAN_ELEMENTS // max(narrowest, 1) + 2)
    inside = max(
        (overhead(part.program, split.shape_of(part, shape)) for part in split.parts), default=0
    )
    base = 0 if split.base is None else SPAN_ELEMENTS + overhead(split.base, shape)
    return base + parts * (CALL_ELEMENTS + inside)
