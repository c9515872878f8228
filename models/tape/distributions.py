"""Translation of recorded PyTorch operations into the sources of programs."""

from __future__ import annotations

from typing import Any

from seedpoint.models.plan.program import (
    Dirac,
    Eye,
    Normal,
    Orthogonal,
    Source,
    Sparse,
    TruncNormal,
    Uniform,
)
from seedpoint.models.tape.journal import Operation

# `sparse_` draws its values and its mask (STREAM, sparse); every other operation draws once.
_DRAWS = {"sparse_": 2}


def draws_of(operation: Operation) -> int:
    """Return the number of draws that a random operation takes from its tensor."""
    return _DRAWS.get(operation.name, 1)


def source_of(operation: Operation, draw: int = 0, stream: str | None = None) -> Source | None:
    """Return the source that `operation` fills a tensor with; None when no source matches it.

    Raises:
        ValueError: The source refuses the operation's arguments.
    """
    name, args = operation.name.removeprefix("aten."), operation.args
    match name:
        case "uniform_.default":
            return Uniform.of(*_numbers(args[1:], 0.0, 1.0), draw=draw, stream=stream)
        case "rand.default" | "rand_like.default":
            return Uniform.of(0.0, 1.0, draw=draw, stream=stream)
        case "normal_.default":
            return Normal.of(*_numbers(args[1:], 0.0, 1.0), draw=draw, stream=stream)
        case "randn.default" | "randn_like.default":
            return Normal.of(0.0, 1.0, draw=draw, stream=stream)
        case "normal.float_float":
            return Normal.of(float(args[0]), float(args[1]), draw=draw, stream=stream)
        case "_no_grad_trunc_normal_":
            mean, std, a, b = map(float, args[1:5])
            return TruncNormal.of(mean, std, a, b, draw=draw, stream=stream)
        case "orthogonal_":
            return Orthogonal(float(args[1]), draw, stream)
        case "sparse_":
            return Sparse.of(args[1], args[2], draw=draw, stream=stream)
        case "dirac_":
            return Dirac(int(args[1]))
        case "eye.default" | "eye.m" | "eye.m_out":
            return Eye()
    return None


def _numbers(given: tuple[Any, ...], first: float, second: float) -> tuple[float, float]:
    """Return two numbers: the given arguments, completed by the defaults `first` and `second`."""
    numbers = [*map(float, given), first, second][: len(given)] + [first, second][len(given) :]
    return numbers[0], numbers[1]
