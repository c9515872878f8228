"""Evaluation of many short runs of elements at once, such as the rows of a matrix's window.

A run is `run` consecutive elements, row-major, from its start on. All runs have one length.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from seedpoint.models.draws import Draw
from seedpoint.models.generation.sources import Sources
from seedpoint.models.generation.split_parts import parts_between
from seedpoint.models.plan.program import Constant, Formula, Program, Split
from seedpoint.models.plan.transforms import Pointwise
from seedpoint.models.stream import cpu
from seedpoint.models.stream.apply_transforms import apply
from seedpoint.models.stream.key import derive_key

Shape = tuple[int, ...]
Starts = npt.NDArray[np.int64]
LONG_RUN_ELEMENTS = 1 << 16
"""Elements of a run from which on a call for each run costs nothing."""

GAP_ELEMENTS = 16
"""Elements between two runs that are generated and discarded in less time than a run begins."""

COVER_ELEMENTS = 1 << 18
"""Most elements that are generated at once to pick short runs from."""

LONG_GAP_ELEMENTS = 4096
"""Elements between two runs that cost more than another call, where each call makes one range."""


def are_direct(program: Program, shape: Shape, run: int) -> bool:
    """Return whether `values` can compute runs of a program, without the elements between them."""
    if run > LONG_RUN_ELEMENTS or not all(isinstance(t, Pointwise) for t in program.transforms):
        return False
    source = program.source
    if isinstance(source, Split):
        return (
            source.base is None
            and math.prod(shape[: source.axis]) == 1
            and all(
                are_direct(part.program, source.shape_of(part, shape), run) for part in source.parts
            )
        )
    return isinstance(source, Draw | Constant | Formula)


def values(
    sources: Sources,
    program: Program,
    name: str,
    shape: Shape,
    starts: Starts,
    run: int,
    out: torch.Tensor,
) -> None:
    """Write the runs of a program (`are_direct`) to `out`, one after another, on the CPU.

    `name` is the random stream of draws that name none themselves. No run crosses two parts of a
    split.
    """
    match program.source:
        case Draw() as draw:
            key = derive_key(sources.seed, draw.stream or name)
            cpu.fill_runs(draw.type, out.numpy(), key, draw.draw, starts, run, draw.f32)
        case Constant(value=value):
            out.fill_(value)
        case Formula() as formula:
            out.copy_(formula.at(torch.from_numpy(places(starts, run)), shape))
        case Split() as split:
            _split(sources, split, name, shape, starts, run, out)
    apply(program.transforms, out, 0, shape)


def _split(
    sources: Sources,
    split: Split,
    name: str,
    shape: Shape,
    starts: Starts,
    run: int,
    out: torch.Tensor,
) -> None:
    runs, name = out.view(-1, run), split.stream or name
    low, high = int(starts.min()), int(starts.max()) + run
    for number, part, offset in parts_between(split, shape, low, high):
        inner = split.shape_of(part, shape)
        chosen = (starts >= offset) & (starts < offset + math.prod(inner))
        if chosen.any():
            found = out.new_empty(int(chosen.sum()) * run)
            shifted = starts[chosen] - offset
            values(sources, part.program, f"{name}#{number}", inner, shifted, run, found)
            runs[torch.from_numpy(chosen)] = found.view(-1, run)


def cross_parts(program: Program, shape: Shape, starts: Starts, run: int) -> bool:
    """Return whether a run crosses two parts of the program's split."""
    split = program.source
    if not isinstance(split, Split) or not len(starts):
        return False
    parts = parts_between(split, shape, int(starts.min()), int(starts.max()) + run)
    ends = np.array([offset for _, _, offset in parts], np.int64)
    return bool(
        (np.searchsorted(ends, starts, "right") < np.searchsorted(ends, starts + run)).any()
    )


def places(starts: Starts, run: int) -> npt.NDArray[np.int64]:
    """Return the index in the tensor of each element of the runs, in their order."""
    return (starts[:, None] + np.arange(run)).reshape(-1)


def are_close(starts: Starts, run: int) -> bool:
    """Return whether the runs take longer one by one than with all that lies between them."""
    if len(starts) < 2:
        return False
    span = int(starts[-1]) - int(starts[0])
    return 0 < span <= (run + run // 4 + GAP_ELEMENTS) * (len(starts) - 1)


def covers(indices: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut ascending indices into stretches without long gaps, each over COVER_ELEMENTS at most."""
    gaps = np.flatnonzero(np.diff(indices) > LONG_GAP_ELEMENTS) + 1
    for low, high in zip([0, *gaps], [*gaps, len(indices)], strict=True):
        at = int(low)
        while at < high:
            reach = int(np.searchsorted(indices, indices[at] + COVER_ELEMENTS))
            yield at, min(reach, int(high))
            at = min(reach, int(high))
