"""Translation of recorded PyTorch operations into the sources of programs."""

from __future__ import annotations

from seedpoint.models.draws import DRAWS
from seedpoint.models.plan.program import Dirac, Eye, Orthogonal, Source, Sparse
from seedpoint.models.tape.journal import Operation

_RECORDED = {name: (cls, place) for cls in DRAWS.values() for name, place in cls.recorded.items()}

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
    if name in _RECORDED:
        cls, place = _RECORDED[name]
        return cls.of(*map(float, args[place]), draw=draw, stream=stream)
    match name:
        case "orthogonal_":
            return Orthogonal(float(args[1]), draw, stream)
        case "sparse_":
            return Sparse.of(args[1], args[2], draw=draw, stream=stream)
        case "dirac_":
            return Dirac(int(args[1]))
        case "eye.default" | "eye.m" | "eye.m_out":
            return Eye()
    return None
