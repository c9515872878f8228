"""Relations between strided views: the part of one tensor that another tensor covers.

An element of a tensor has two numbers: its address (in elements of the storage) and its index
(row-major, in the tensor itself). Both are sums over the tensor's axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from seedpoint.models.tape.journal import TensorRef


class View(NamedTuple):
    """Elements `offset + sum(i * stride)` of a row-major array, for i below `size` on each axis."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int


class IndexRange(NamedTuple):
    """Indices start, start + step, ... below stop, along one axis."""

    start: int
    stop: int
    step: int


Box = tuple[IndexRange, ...]


class _Axis(NamedTuple):
    """One axis: `size` steps, each of `source` in one numbering and `target` in the other."""

    size: int
    source: int
    target: int


def row_major(size: Sequence[int]) -> tuple[int, ...]:
    """Return the strides (in elements) of a contiguous tensor of `size`."""
    stride, step = [], 1
    for n in reversed(size):
        stride.append(step)
        step *= n
    return tuple(reversed(stride))


@lru_cache(maxsize=4096)
def identity(size: tuple[int, ...]) -> View:
    """Return the view that covers the whole array in its own order."""
    return _plain(View(size, row_major(size), 0))


def whole(view: View, numel: int) -> bool:
    """Return whether `view` contains each of `numel` elements exactly once, in any order."""
    axes = sorted((s, n) for s, n in zip(view.stride, view.size, strict=True) if n > 1)
    step = 1
    for stride, size in axes:
        if stride != step:
            return False
        step *= size
    return view.offset == 0 and step == numel


def inside(ref: TensorRef, written: TensorRef) -> View | None:
    """Return `ref` as a view of the indices of `written`; None when it is not inside `written`."""
    if ref == written:
        return identity(ref.size)
    axes = _axes(written.size, written.stride, row_major(written.size))
    view = View(ref.size, ref.stride, ref.offset - written.offset)
    moved = _moved(view, axes)
    return moved and _plain(moved)


def part(source: TensorRef, view: View) -> TensorRef | None:
    """Return the elements of `source` at the indices `view`; None when no strides express them."""
    axes = _axes(source.size, row_major(source.size), source.stride)
    moved = _moved(view, axes)
    if moved is None:
        return None
    size, stride, offset = moved
    return TensorRef(source.storage, source.dtype, size, stride, source.offset + offset)


def expanded(source: TensorRef, size: tuple[int, ...]) -> TensorRef:
    """Broadcast `source` to `size`."""
    missing = len(size) - len(source.size)
    old = (1,) * missing + source.size
    strides = (0,) * missing + source.stride
    stride = tuple(0 if a != b else s for a, b, s in zip(old, size, strides, strict=True))
    return TensorRef(source.storage, source.dtype, size, stride, source.offset)


def box(outer: TensorRef, inner: TensorRef) -> Box | None:
    """Return `inner` as a box of indices of `outer`, a range per axis; None when it is none."""
    axes = [(n, step, k) for k, (n, step) in enumerate(zip(outer.size, outer.stride, strict=True))]
    order = sorted((a for a in axes if a[0] > 1), key=lambda axis: -axis[1])
    start = _coordinates(inner.offset - outer.offset, [(n, step) for n, step, _ in order])
    if start is None:
        return None
    spans = [IndexRange(0, 1, 1)] * len(outer.size)
    for (_, _, k), at in zip(order, start, strict=True):
        spans[k] = IndexRange(at, at + 1, 1)
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
        spans[k] = IndexRange(first, first + by * (n - 1) + 1, by)
    return tuple(spans)


def apart(left: TensorRef, right: TensorRef) -> bool:
    """Return whether the byte extents of the two references do not overlap."""
    (a, b), (c, d) = left.extent, right.extent
    return b <= c or d <= a


def disjoint(left: TensorRef, right: TensorRef, layout: TensorRef) -> bool:
    """Return whether the two references are known to share no element.

    The comparison uses boxes of indices in the tensor `layout`. The result is False when a dtype
    differs from that of `layout` or a reference is not a box.
    """
    if not left.dtype == right.dtype == layout.dtype:
        return False
    first, second = box(layout, left), box(layout, right)
    if first is None or second is None:
        return False
    return not meet(first, second)


def count(region: Box) -> int:
    """Return the number of elements in `region`."""
    return math.prod(len(range(*span)) for span in region)


def meet(left: Box, right: Box) -> bool:
    """Return whether two boxes of one tensor share an element."""
    return all(_overlap(range(*a), range(*b)) for a, b in zip(left, right, strict=True))


def within(inner: Box, outer: Box) -> bool:
    """Return whether `inner` lies in `outer`; if `outer` has steps, only an equal box does."""
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
    """Return the axes by falling source stride, with contiguous neighbours merged."""
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
    """Translate `view` from the source to the target numbering of `axes`; None if outside them."""
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
    """Decompose `distance` into whole steps (size, stride), longest first; None if impossible."""
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
    """Return `view` with zero strides on axes of one element, where the stride has no meaning."""
    strides = zip(view.size, view.stride, strict=True)
    return view._replace(stride=tuple(s if n > 1 else 0 for n, s in strides))
