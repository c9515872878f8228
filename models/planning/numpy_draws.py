"""Check of the draws that generator `numpy` can make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seedpoint.models.draws import Draw
from seedpoint.models.errors import SpecError
from seedpoint.models.plan.program import Source, Split, Sum, Whole


def check_numpy(sources: Sequence[Source], rule: int) -> None:
    """Check that NumPy draws the sources of rule number `rule`.

    Raises:
        SpecError: For a draw that generator `numpy` lacks.
    """
    for source in sources:
        for inner in _inside(source):
            if isinstance(inner, Whole) or (isinstance(inner, Draw) and not inner.in_numpy):
                raise SpecError.at(
                    f"init.rules.{rule}.initializer",
                    "generator numpy draws uniform and normal values only, not "
                    f"{inner.type}; use generator torch or philox-v1",
                )


def _inside(source: Source) -> Iterator[Source]:
    """Yield a source and those of which it consists."""
    yield source
    for part in source.parts if isinstance(source, Split) else ():
        yield from _inside(part.program.source)
    for term in source.terms if isinstance(source, Sum) else ():
        yield from _inside(term.source)
