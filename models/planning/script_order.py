"""Order in which a script that calls `Module.apply` visits the names of one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cmp_to_key

from seedpoint.models.rules.rule import Candidate


def scripted(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Sort names, given in `state_dict()` order, children first.

    A module comes after the modules inside it.
    """
    places = {candidate.name: place for place, candidate in enumerate(candidates)}

    def compare(a: Candidate, b: Candidate) -> int:
        owner_a, owner_b = _owner(a.name), _owner(b.name)
        if owner_a != owner_b and _holds(owner_a, owner_b):
            return 1
        if owner_a != owner_b and _holds(owner_b, owner_a):
            return -1
        return places[a.name] - places[b.name]

    return sorted(candidates, key=cmp_to_key(compare))


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _holds(module: str, other: str) -> bool:
    """Return whether the module `other` is inside `module`, by their dotted names."""
    return not module or other.startswith(f"{module}.")
