"""Draws that generator `numpy` has."""

from __future__ import annotations

from collections.abc import Iterable

from seedpoint.models.draws import Draw
from seedpoint.models.errors import SpecError
from seedpoint.models.plan.program import Source, Split, Whole


def check_numpy(sources: Iterable[Source], rule: int) -> None:
    """Check that generator `numpy` can draw the sources of a rule.

    Raises:
        SpecError: It cannot.
    """
    for source in sources:
        if isinstance(source, Split):
            check_numpy((part.program.source for part in source.parts), rule)
        if isinstance(source, Whole) or (isinstance(source, Draw) and not source.in_numpy):
            raise SpecError.at(
                f"init.rules.{rule}.initializer",
                "generator numpy draws uniform and normal values only, not "
                f"{source.type}; use generator torch or philox-v1",
            )
