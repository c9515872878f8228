"""Detection of split parts that share a stream with another draw."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from seedpoint.models.draws import Draw
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.program import (
    Norms,
    Program,
    SingularVector,
    Split,
    Sum,
    Whole,
)


def shared_streams(
    tensors: Sequence[PlanTensor], split_rules: Collection[int]
) -> list[tuple[str, list[str]]]:
    """Return each stream that a part shares with another draw, with all that draw from it.

    Parts are those made by the rules `split_rules`, shown as `name#k`. Sharing among own inits is
    not reported, also where parts keep them: cloned layers hold one draw by intent, and norms are
    those of a draw.
    """
    if not split_rules:
        return []
    parts: dict[str, list[str]] = {}
    whole: dict[str, list[str]] = {}
    for tensor in tensors:
        source = tensor.program.source
        if isinstance(source, Split) and tensor.rule in split_rules:
            found = [(parts, tensor.program), (whole, source.base)]
        else:
            found = [(whole, tensor.program)]
        for users, program in found:
            for user, stream in () if program is None else _streams(program, tensor.name):
                users.setdefault(stream, []).append(user)
    return [
        (stream, [*whole.get(stream, ()), *users])
        for stream, users in parts.items()
        if len(users) > 1 or stream in whole
    ]


def _streams(program: Program, name: str) -> Iterator[tuple[str, str]]:
    """Yield (user, its stream) for each draw of a tensor or part called `name`."""
    source = program.source
    if isinstance(source, Split):
        for number, part in enumerate(source.parts * source.repeat):
            yield from _streams(part.program, f"{source.stream or name}#{number}")
    elif isinstance(source, Sum):  # its draws differ by their numbers
        found = (each for term in source.terms for each in _streams(term, name))
        yield from dict.fromkeys(found)
    elif isinstance(source, Norms | SingularVector):
        yield from _streams(source.of, name)
    elif isinstance(source, Draw | Whole):
        yield name, name if source.stream is None else source.stream
