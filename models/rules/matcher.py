"""Search for the first rule of many tensors; criteria that tensors share are tried once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from seedpoint.models.rules import globs
from seedpoint.models.rules.rule import Candidate, Match, Won

_Tried = tuple[int, Match, list[str]]  # the texts of its glob


class Matcher:
    """Ordered criteria, ready to be tried on any number of names.

    The results are those of `Match.captures`, in less time. Criteria without a name, and names
    without a wildcard, take one look-up. A glob is tried only on names that hold its rarest text.
    """

    def __init__(self, matches: Sequence[Match]) -> None:
        self._all: tuple[_Tried, ...] = tuple(
            (index, match, globs.texts(match.name or "")) for index, match in enumerate(matches)
        )
        self._parameters = {m.parameter for m in matches if m.parameter is not None}
        # Keys: (kind, ndim, classes), of which there are few.
        self._alike: dict[Any, tuple[_Tried, ...]] = {}
        # Keys: the last segment, if a rule names it, with the same three.
        self._names: dict[Any, _Names] = {}

    def first(self, candidates: Sequence[Candidate]) -> Won | None:
        """Return the first criteria that all hold for one of a tensor's names, or None."""
        best: Won | None = None
        for candidate in candidates:
            won = self._names_of(candidate).first(candidate.name)
            if won is not None and (best is None or won.index < best.index):
                best = won
        return best

    def matching(self, candidates: Iterable[Candidate]) -> set[int]:
        """Return the indices of all criteria that hold for any of these names."""
        found: set[int] = set()
        for candidate in candidates:
            self._names_of(candidate).add(candidate.name, found)
        return found

    def _names_of(self, candidate: Candidate) -> _Names:
        last = candidate.name.rpartition(".")[2]
        alike = (candidate.kind, candidate.ndim, candidate.classes)
        key = (last if last in self._parameters else None, *alike)
        if (names := self._names.get(key)) is None:
            if (tried := self._alike.get(alike)) is None:
                tried = tuple(item for item in self._all if _allows(item[1], candidate))
                self._alike[alike] = tried
            allowed = (None, key[0])
            names = _Names.of([item for item in tried if item[1].parameter in allowed])
            self._names[key] = names
        return names


@dataclass(slots=True)
class _Names:
    """Criteria on names that are left to try once all other criteria hold.

    `unnamed` hold for every name, `exact` for one name. `globs` are (index, text, glob);
    the text is in every matching name and, of the glob's texts, in the fewest other globs.
    A glob is compiled when a name holds its text.
    """

    unnamed: list[int] = field(default_factory=list)
    exact: dict[str, list[int]] = field(default_factory=dict)
    globs: list[tuple[int, str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, tried: Iterable[_Tried]) -> _Names:
        names = cls()
        wild: list[_Tried] = []
        for index, match, texts in tried:
            if match.name is None:
                names.unnamed.append(index)
            elif texts == [match.name]:
                names.exact.setdefault(match.name, []).append(index)
            else:
                wild.append((index, match, texts))
        counts = Counter(chain.from_iterable(texts for _, _, texts in wild))
        for index, match, texts in wild:
            text = min(texts, key=lambda text: (counts[text], -len(text)), default="")
            names.globs.append((index, text, match.name or ""))
        return names

    def first(self, name: str) -> Won | None:
        plain = [*self.unnamed[:1], *self.exact.get(name, ())[:1]]
        best = min(plain, default=None)
        for index, text, pattern in self.globs:
            if best is not None and index > best:
                break
            if text in name and (captures := globs.match(pattern, name)) is not None:
                return Won(index, captures)
        return None if best is None else Won(best, {})

    def add(self, name: str, found: set[int]) -> None:
        """Add the indices of all criteria that hold for `name` to `found`."""
        found.update(self.unnamed, self.exact.get(name, ()))
        for index, text, pattern in self.globs:
            if index not in found and text in name and globs.match(pattern, name) is not None:
                found.add(index)


def _allows(match: Match, candidate: Candidate) -> bool:
    """Return whether all criteria hold, except those on the name or on its last segment."""
    return (
        match.kind in (None, candidate.kind)
        and match.ndim in (None, candidate.ndim)
        and (match.module is None or not candidate.classes.isdisjoint(match.module))
    )
