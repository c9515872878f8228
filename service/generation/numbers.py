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
from seedpoint.models.stream import float4
from seedpoint.models.stream.float4 import FLOAT4
from seedpoint.service.generation.dispatcher import Job
from seedpoint.service.generation.engine import Engine

PIECES_AHEAD = 4  # Jobs of a JSON document in progress at once.


async def numbers(engine: Engine, part: TensorPart) -> Any:
    """Return the part's elements as nested lists of JSON numbers, exact to the last bit.

    Non-finite numbers become the strings "NaN", "Infinity" and "-Infinity"; complex numbers
    become [real, imaginary]. The elements are generated piece by piece; cancellation stops
    after the pieces that have begun.
    """
    dtype = torch.float32 if part.dtype.name == FLOAT4 else part.dtype.torch
    values = torch.empty(part.shape, dtype=dtype)
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
        if part.dtype.name == FLOAT4:
            yield Job(partial(_float4, part, start, stop, flat[start:stop]), whole_tensors)
        else:
            yield Job(partial(part.elements, start, stop, out), whole_tensors)


def _float4(part: TensorPart, start: int, stop: int, out: torch.Tensor) -> None:
    """Write elements [start, stop) of four bits to `out`, float32."""
    out.copy_(torch.from_numpy(float4.VALUES[part.float4_patterns(start, stop)]))


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
