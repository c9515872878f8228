"""The first rule for each of many tensors: what their names have in common is tried once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from seedpoint.models.rules import globs
from seedpoint.models.rules.rule import Candidate, Match, Won

_Tried = tuple[int, Match]


class Matcher:
    """Criteria in order, ready to be tried on any number of names.

    `Match.captures` says what holds; this is the same in less time. Of criteria without a
    name, and of names without a wildcard, one look-up tells; a glob is tried only on names
    that hold its rarest text.
    """

    def __init__(self, matches: Sequence[Match]) -> None:
        self._all: tuple[_Tried, ...] = tuple(enumerate(matches))
        self._parameters = {m.parameter for m in matches if m.parameter is not None}
        # By kind, dimensions, classes: few. By last segment besides: as few as rules name.
        self._alike: dict[Any, tuple[_Tried, ...]] = {}
        self._names: dict[Any, _Names] = {}

    def first(self, candidates: Sequence[Candidate]) -> Won | None:
        """The first whose criteria all hold for one of a tensor's names."""
        best: Won | None = None
        for candidate in candidates:
            won = self._names_of(candidate).first(candidate.name)
            if won is not None and (best is None or won.index < best.index):
                best = won
        return best

    def matching(self, candidates: Iterable[Candidate]) -> set[int]:
        """All that hold for any of these names."""
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
    """What is left to try once all criteria but the name hold.

    `unnamed` hold for every name, `exact` for one; `globs` are (index, a text that every
    name it matches holds, the glob): of its texts the one that the fewest other globs have.
    """

    unnamed: list[int] = field(default_factory=list)
    exact: dict[str, list[int]] = field(default_factory=dict)
    globs: list[tuple[int, str, Callable[[str], Any]]] = field(default_factory=list)

    @classmethod
    def of(cls, tried: Iterable[_Tried]) -> _Names:
        names = cls()
        named = [(index, match.name, globs.texts(match.name or "")) for index, match in tried]
        counts = Counter(chain.from_iterable(texts for _, _, texts in named))
        for index, name, texts in named:
            if name is None:
                names.unnamed.append(index)
            elif texts == [name]:
                names.exact.setdefault(name, []).append(index)
            else:
                text = min(texts, key=lambda text: (counts[text], -len(text)), default="")
                names.globs.append((index, text, globs.compile_glob(name).fullmatch))
        return names

    def first(self, name: str) -> Won | None:
        plain = [*self.unnamed[:1], *self.exact.get(name, ())[:1]]
        best = min(plain, default=None)
        for index, text, fullmatch in self.globs:
            if best is not None and index > best:
                break
            if text in name and (found := fullmatch(name)) is not None:
                return Won(index, globs.captured(found))
        return None if best is None else Won(best, {})

    def add(self, name: str, found: set[int]) -> None:
        """Adds to `found` all that hold for `name`."""
        found.update(self.unnamed, self.exact.get(name, ()))
        for index, text, fullmatch in self.globs:
            if index not in found and text in name and fullmatch(name) is not None:
                found.add(index)


def _allows(match: Match, candidate: Candidate) -> bool:
    """Whether every criterion holds that is not on the name or a part of it."""
    return (
        match.kind in (None, candidate.kind)
        and match.ndim in (None, candidate.ndim)
        and (match.module is None or not candidate.classes.isdisjoint(match.module))
    )
