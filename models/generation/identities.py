"""Ranges of identities: ones on a diagonal, and Dirac kernels."""

from __future__ import annotations

import math

import torch

Shape = tuple[int, ...]


def write_ones(out: torch.Tensor, start: int, places: range) -> None:
    """Write zeros, with ones at the flat indices `places`."""
    out.zero_()
    if places:
        skipped = max(0, -(-(start - places.start) // places.step))
        first = places.start + skipped * places.step
        last = min(start + len(out), places.stop)
        if first < last:
            out[first - start : last - start : places.step] = 1


def write_dirac(out: torch.Tensor, start: int, shape: Shape, groups: int) -> None:
    """Write `torch.nn.init.dirac_`: per group, output d passes input d at the kernel's middle."""
    kernel_shape = shape[2:]
    width = math.prod(kernel_shape)
    strides = [math.prod(kernel_shape[axis + 1 :]) for axis in range(len(kernel_shape))]
    middle = sum((size // 2) * stride for size, stride in zip(kernel_shape, strides, strict=True))
    per_group = shape[0] // groups
    used = min(per_group, shape[1])
    out.zero_()
    row = shape[1] * width
    group_elements = per_group * row
    stop = start + len(out)
    if not used or not width:
        return
    for group in range(start // group_elements, min(groups, -(-stop // group_elements))):
        base = group * group_elements + middle
        step = row + width
        skipped = max(0, -(-(start - base) // step))
        first, last = base + skipped * step, min(stop, base + (used - 1) * step + 1)
        if first < last:
            out[first - start : last - start : step] = 1
