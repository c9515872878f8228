"""Strided views against each other: which part of one tensor another one is.

A tensor's elements have two numbers: the address (in elements of its storage) and the
index (row-major, in the tensor itself). Both are sums over its axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from seedpoint.models.tape.journal import Ref


class View(NamedTuple):
    """Elements `offset + sum(i * stride)` of a row-major array, for i below `size`."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int


class Span(NamedTuple):
    """The indices start, start + step, ... below stop, of one axis."""

    start: int
    stop: int
    step: int


Box = tuple[Span, ...]


class _Axis(NamedTuple):
    """`size` steps: `source` in one numbering, `target` in the other."""

    size: int
    source: int
    target: int


def row_major(size: Sequence[int]) -> tuple[int, ...]:
    """The strides of a contiguous tensor of `size`."""
    stride, step = [], 1
    for n in reversed(size):
        stride.append(step)
        step *= n
    return tuple(reversed(stride))


@lru_cache(maxsize=4096)
def identity(size: tuple[int, ...]) -> View:
    """The whole array, as it is."""
    return _plain(View(size, row_major(size), 0))


def whole(view: View, numel: int) -> bool:
    """Whether `view` has each of `numel` elements once, in whatever order."""
    axes = sorted((s, n) for s, n in zip(view.stride, view.size, strict=True) if n > 1)
    step = 1
    for stride, size in axes:
        if stride != step:
            return False
        step *= size
    return view.offset == 0 and step == numel


def inside(ref: Ref, written: Ref) -> View | None:
    """`ref` as a view of the elements of `written` by index; None when it is not inside."""
    if ref == written:
        return identity(ref.size)
    axes = _axes(written.size, written.stride, row_major(written.size))
    view = View(ref.size, ref.stride, ref.offset - written.offset)
    moved = _moved(view, axes)
    return moved and _plain(moved)


def part(source: Ref, view: View) -> Ref | None:
    """The elements of `source` whose indices are `view`; None when no strides say it."""
    axes = _axes(source.size, row_major(source.size), source.stride)
    moved = _moved(view, axes)
    if moved is None:
        return None
    size, stride, offset = moved
    return Ref(source.storage, source.dtype, size, stride, source.offset + offset)


def expanded(source: Ref, size: tuple[int, ...]) -> Ref:
    """`source` broadcast to `size`."""
    missing = len(size) - len(source.size)
    old = (1,) * missing + source.size
    strides = (0,) * missing + source.stride
    stride = tuple(0 if a != b else s for a, b, s in zip(old, size, strides, strict=True))
    return Ref(source.storage, source.dtype, size, stride, source.offset)


def box(outer: Ref, inner: Ref) -> Box | None:
    """`inner` as a box of the indices of `outer`, a Span an axis; None when it is none."""
    axes = [(n, step, k) for k, (n, step) in enumerate(zip(outer.size, outer.stride, strict=True))]
    order = sorted((a for a in axes if a[0] > 1), key=lambda axis: -axis[1])
    start = _coordinates(inner.offset - outer.offset, [(n, step) for n, step, _ in order])
    if start is None:
        return None
    spans = [Span(0, 1, 1)] * len(outer.size)
    for (_, _, k), at in zip(order, start, strict=True):
        spans[k] = Span(at, at + 1, 1)
    taken = set[int]()
    for n, stride in zip(inner.size, inner.stride, strict=True):
        if n == 1:
            continue
        step = _coordinates(stride, [(n, step) for n, step, _ in order])
        moving = [] if step is None else [i for i, s in enumerate(step) if s]
        if step is None or len(moving) != 1 or moving[0] in taken:
            return None
        taken.add(moving[0])
        limit, _, k = order[moving[0]]
        first, by = spans[k].start, step[moving[0]]
        if first + by * (n - 1) >= limit:
            return None
        spans[k] = Span(first, first + by * (n - 1) + 1, by)
    return tuple(spans)


def apart(left: Ref, right: Ref) -> bool:
    """Whether the bytes of one all lie before those of the other."""
    (a, b), (c, d) = left.extent, right.extent
    return b <= c or d <= a


def disjoint(left: Ref, right: Ref, layout: Ref) -> bool:
    """Whether they have no element in common, as far as boxes in the tensor `layout` tell."""
    if not left.dtype == right.dtype == layout.dtype:
        return False
    first, second = box(layout, left), box(layout, right)
    if first is None or second is None:
        return False
    return not meet(first, second)


def count(region: Box) -> int:
    """How many elements are in `region`."""
    return math.prod(len(range(*span)) for span in region)


def meet(left: Box, right: Box) -> bool:
    """Whether two boxes of one tensor have an element in common."""
    return all(_overlap(range(*a), range(*b)) for a, b in zip(left, right, strict=True))


def within(inner: Box, outer: Box) -> bool:
    """Whether `inner` lies in `outer`; among boxes with steps, only when it is the same."""
    if any(span.step != 1 for span in outer):
        return inner == outer
    pairs = zip(inner, outer, strict=True)
    return all(a.start >= b.start and a.stop <= b.stop for a, b in pairs)


def _overlap(left: range, right: range) -> bool:
    if left.step == right.step == 1:
        return max(left.start, right.start) < min(left.stop, right.stop)
    few, many = sorted((left, right), key=len)
    return any(index in many for index in few)


def _axes(size: Sequence[int], source: Sequence[int], target: Sequence[int]) -> list[_Axis]:
    """Axes by falling source stride, neighbours that continue one another merged."""
    steps = (_Axis(*axis) for axis in zip(size, source, target, strict=True) if axis[0] > 1)
    merged: list[_Axis] = []
    for axis in sorted(steps, key=lambda axis: -axis.source):
        last = merged[-1] if merged else None
        if last and last[1:] == (axis.source * axis.size, axis.target * axis.size):
            merged[-1] = _Axis(last.size * axis.size, axis.source, axis.target)
        else:
            merged.append(axis)
    return merged


def _moved(view: View, axes: Sequence[_Axis]) -> View | None:
    """`view` from the source numbering of `axes` to their target; None when it leaves them."""
    steps = [(axis.size, axis.source) for axis in axes]
    at = _coordinates(view.offset, steps)
    if at is None:
        return None
    reach, stride = list(at), []
    for n, step in zip(view.size, view.stride, strict=True):
        by = [0] * len(axes) if n == 1 else _coordinates(step, steps)
        if by is None:
            return None
        reach = [r + b * (n - 1) for r, b in zip(reach, by, strict=True)]
        stride.append(sum(b * axis.target for b, axis in zip(by, axes, strict=True)))
    if any(r >= axis.size for r, axis in zip(reach, axes, strict=True)):
        return None
    offset = sum(a * axis.target for a, axis in zip(at, axes, strict=True))
    return View(view.size, tuple(stride), offset)


def _coordinates(distance: int, steps: Sequence[tuple[int, int]]) -> list[int] | None:
    """`distance` as a sum of whole steps (size, stride), the longest first."""
    if distance < 0:
        return None
    found = []
    for _, stride in steps:
        if stride == 0:
            return None
        count, distance = divmod(distance, stride)
        found.append(count)
    return found if distance == 0 else None


def _plain(view: View) -> View:
    """`view` with the strides of its axes of one element, which mean nothing, zero."""
    strides = zip(view.size, view.stride, strict=True)
    return view._replace(stride=tuple(s if n > 1 else 0 for n, s in strides))
