"""Parts of split tensors that draw from a stream which something else draws from too."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.program import Draw, Norms, Program, Split, Whole


def shared_streams(
    tensors: Sequence[PlanTensor], split_rules: Collection[int]
) -> list[tuple[str, list[str]]]:
    """Each stream that a part and something else draws from, and all that draw from it.

    Parts are those that the rules `split_rules` make, shown as `name#k`. What own inits have
    in common is left alone: layers that were cloned hold one draw by intent.
    """
    if not split_rules:
        return []
    parts: dict[str, list[str]] = {}
    whole: dict[str, list[str]] = {}
    for tensor in tensors:
        source = tensor.program.source
        by_rule = isinstance(source, Split) and tensor.rule in split_rules
        users = parts if by_rule else whole
        for user, stream in _streams(tensor.program, tensor.name):
            users.setdefault(stream, []).append(user)
    return [
        (stream, [*whole.get(stream, ()), *users])
        for stream, users in parts.items()
        if len(users) > 1 or stream in whole
    ]


def _streams(program: Program, name: str) -> Iterator[tuple[str, str]]:
    """(what draws, the stream it draws from) of a tensor or a part called `name`."""
    source = program.source
    if isinstance(source, Split):
        for number, part in enumerate(source.parts):
            yield from _streams(part.program, f"{name}#{number}")
    elif isinstance(source, Norms):
        yield from _streams(source.of, name)
    elif isinstance(source, Draw | Whole):
        yield name, name if source.stream is None else source.stream
