"""Sources of tensors in which separate weights are stacked."""

from __future__ import annotations

from dataclasses import replace

from seedpoint.models.initializers.base import Initializer, Target
from seedpoint.models.plan import program
from seedpoint.models.plan.program import Part, Program, Source


def stacked(initializer: Initializer, target: Target) -> Source:
    """Return the source of a tensor; of a stack if it fills each matrix separately."""
    if not initializer.of_matrix or not target.batch_axes:
        return initializer.source(target)
    shape = target.shape
    kept = tuple(size for axis, size in enumerate(shape) if axis not in target.batch_axes)
    source = initializer.source(replace(target, shape=kept, batch_axes=frozenset()))
    # the last axis is the innermost split, so that the axes before it keep their numbers
    for axis in sorted(target.batch_axes, reverse=True):
        before = sum(1 for other in target.batch_axes if other < axis)
        part = Part(1, Program(source))
        source = program.Split(axis - before, (part,), repeat=shape[axis], squeeze=True)
    return source
