"""Search for the first rule of many tensors; criteria that tensors share are tried once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from seedpoint.models.rules import globs
from seedpoint.models.rules.rule import Candidate, Match, Won

_Tried = tuple[int, int, str | None, Match]  # order, index of the criteria, one of its globs


class Matcher:
    """Ordered criteria, ready to be tried on any number of names.

    The results are those of `Match.captures`, in less time. Criteria without a name, and names
    without a wildcard, take one look-up. A glob is tried only on names that hold its rarest text.
    With `sweeps`, criteria match buffers with an own init like any other tensor.
    """

    def __init__(self, matches: Sequence[Match], *, sweeps: bool = False) -> None:
        self._matches = tuple(matches)
        self._sweeps = sweeps
        self._parameters = {m.parameter for m in matches if m.parameter is not None}
        # Keys: (kind, ndim, classes, swept), of which there are few.
        self._alike: dict[Any, tuple[_Tried, ...]] = {}
        # Keys: the last segment, if a rule names it, with the same four.
        self._names: dict[Any, _Names] = {}

    def first(self, candidates: Sequence[Candidate]) -> Won | None:
        """Return the first criteria that all hold for one of a tensor's names, or None."""
        best: Won | None = None
        for candidate in candidates:
            won = self._names_of(candidate).first(candidate)
            if won is not None and (best is None or won.index < best.index):
                best = won
        return best

    def matching(self, candidates: Iterable[Candidate]) -> set[int]:
        """Return the indices of all criteria that hold for any of these names."""
        found: set[int] = set()
        for candidate in candidates:
            self._names_of(candidate).add(candidate, found)
        return found

    def _names_of(self, candidate: Candidate) -> _Names:
        last = candidate.name.rpartition(".")[2]
        swept = self._sweeps or candidate.is_swept
        alike = (candidate.kind, candidate.ndim, candidate.classes, swept)
        key = (last if last in self._parameters else None, *alike)
        if (names := self._names.get(key)) is None:
            if (tried := self._alike.get(alike)) is None:
                tried = self._alike[alike] = tuple(self._tried(replace(candidate, is_swept=swept)))
            allowed = (None, key[0])
            names = _Names.of([item for item in tried if item[-1].parameter in allowed])
            self._names[key] = names
        return names

    def _tried(self, candidate: Candidate) -> Iterator[_Tried]:
        """Yield each glob of the criteria that hold, except those on the name or its segments."""
        order = 0
        for index, match in enumerate(self._matches):
            if match.allows(candidate):
                for name in match.names_for(candidate):
                    yield order, index, name, match
                    order += 1


@dataclass(slots=True)
class _Names:
    """Criteria on names that are left to try once all other criteria hold.

    Each is known by its order. `unnamed` hold for every name, `exact` for one name. `globs` are
    (order, text, glob); the text is in every matching name and, of the glob's texts, in the fewest
    other globs. A glob is compiled when a name holds its text. `excluding` are the criteria with
    `not`; they are few, and tried last.
    """

    indices: dict[int, int] = field(default_factory=dict)
    unnamed: list[int] = field(default_factory=list)
    exact: dict[str, list[int]] = field(default_factory=dict)
    globs: list[tuple[int, str, str]] = field(default_factory=list)
    excluding: list[tuple[int, str | None, Match]] = field(default_factory=list)

    @classmethod
    def of(cls, tried: Iterable[_Tried]) -> _Names:
        names = cls()
        named: list[tuple[int, str, list[str]]] = []
        for order, index, name, match in tried:
            names.indices[order] = index
            if match.excluded:
                names.excluding.append((order, name, match))
            elif name is None:
                names.unnamed.append(order)
            else:
                named.append((order, name, globs.texts(name)))
        counts = Counter(chain.from_iterable(texts for _, _, texts in named))
        for order, name, texts in named:
            if texts == [name]:
                names.exact.setdefault(name, []).append(order)
            else:
                text = min(texts, key=lambda text: (counts[text], -len(text)), default="")
                names.globs.append((order, text, name))
        return names

    def first(self, candidate: Candidate) -> Won | None:
        name = candidate.name
        plain = [*self.unnamed[:1], *self.exact.get(name, ())[:1]]
        best = min(plain, default=None)
        captures: Mapping[str, int] = {}
        for order, text, pattern in self.globs:
            if best is not None and order > best:
                break
            if text in name and (found := globs.match(pattern, name)) is not None:
                best, captures = order, found
                break
        for order, glob, match in self.excluding:
            if best is not None and order > best:
                break
            if (kept := _captures(glob, match, candidate)) is not None:
                best, captures = order, kept
                break
        return None if best is None else Won(self.indices[best], captures)

    def add(self, candidate: Candidate, found: set[int]) -> None:
        """Add the indices of all criteria that hold for the candidate to `found`."""
        name = candidate.name
        for order in (*self.unnamed, *self.exact.get(name, ())):
            found.add(self.indices[order])
        for order, text, pattern in self.globs:
            index = self.indices[order]
            if index not in found and text in name and globs.match(pattern, name) is not None:
                found.add(index)
        for order, glob, match in self.excluding:
            if _captures(glob, match, candidate) is not None:
                found.add(self.indices[order])


def _captures(glob: str | None, match: Match, candidate: Candidate) -> Mapping[str, int] | None:
    """Return the captures of one glob of criteria with `not`, of which all others hold."""
    if match.excludes(candidate):
        return None
    return {} if glob is None else globs.match(glob, candidate.name)
