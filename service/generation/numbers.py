"""Elements of a tensor's part as JSON numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import aclosing
from functools import partial
from typing import Any

import numpy as np
import torch

from seedpoint.models.generation.tensor_part import TensorPart
from seedpoint.service.generation.dispatcher import Job
from seedpoint.service.generation.engine import Engine

PIECES_AHEAD = 4  # Jobs of a JSON document in progress at once.


async def numbers(engine: Engine, part: TensorPart) -> Any:
    """Return the part's elements as nested lists of JSON numbers, exact to the last bit.

    Non-finite numbers become the strings "NaN", "Infinity" and "-Infinity"; complex numbers
    become [real, imaginary]. The elements are generated piece by piece; cancellation stops
    after the pieces that have begun.
    """
    values = torch.empty(part.shape, dtype=part.dtype.torch)
    async with aclosing(engine.ordered(_jobs(part, values), ahead=PIECES_AHEAD)) as done:
        async for _ in done:
            pass
    return await engine.run(partial(_listed, values))


def _jobs(part: TensorPart, values: torch.Tensor) -> Iterator[Job[None]]:
    """Yield the jobs that fill `values`, the whole part, piece by piece."""
    step, flat = part.piece_elements, values.view(-1)
    for start in range(0, len(flat), step):
        stop = min(start + step, len(flat))
        out = flat[start:stop].view(torch.uint8).numpy()
        whole_tensors = part.whole_tensors_of_elements(start, stop)
        yield Job(partial(part.elements, start, stop, out), whole_tensors)


def _listed(values: torch.Tensor) -> Any:
    if values.is_complex():
        values = torch.view_as_real(values)
    if not values.is_floating_point():
        return values.tolist()
    wide = values.to(torch.float64)  # Exact, and the decimal form of a binary64 round-trips.
    listed = wide.tolist()
    return listed if bool(wide.isfinite().all()) else _worded(listed)


def _worded(value: Any) -> Any:
    if isinstance(value, list):
        return [_worded(item) for item in value]
    if math.isnan(value):
        return "NaN"
    return {np.inf: "Infinity", -np.inf: "-Infinity"}.get(value, value)
