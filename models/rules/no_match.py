"""Reasons why criteria match no tensor, and the nearest criteria that would."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from seedpoint.models.rules import globs
from seedpoint.models.rules.rule import Candidate, Match
from seedpoint.models.validation.faults import near
from seedpoint.models.validation.messages import ends, listed

MAX_TRIED = 20_000  # names that are searched for a reason
_REGEX = re.compile(r"\\|\.[*+]|[\^$(|)+]")
_REPLACED = ((r"\\\.", "."), (r"\.[*+]", "**"), (r"(\\d|\[0-9\])[+*]?", "*"), (r"[\^$()\\]", ""))


@dataclass(frozen=True, slots=True)
class _Tensors:
    """Tensors to be matched: every name, with the class of its module."""

    candidates: Sequence[Candidate]
    classes: Sequence[str]

    @property
    def names(self) -> list[str]:
        return [candidate.name for candidate in self.candidates]

    @property
    def modules(self) -> dict[str, None]:
        """Dotted names of all modules that hold a tensor, in order."""
        parts = (accumulate(n.split(".")[:-1], lambda a, b: f"{a}.{b}") for n in self.names)
        return {name: None for each in parts for name in each}

    def hold(self, match: Match) -> list[str]:
        """Return the names that `match` matches, buffers included."""
        return [c.name for c in self.candidates if match.captures(c) is not None]

    def take(self, glob: str) -> bool:
        """Return whether a glob matches a name; one that does not parse matches none."""
        try:
            pattern = globs.compile_glob(glob)
        except globs.GlobError:
            return False
        return any(pattern.fullmatch(name) for name in self.names)


def reason(match: Match, candidates: Sequence[Candidate], class_of: Callable[[str], str]) -> str:
    """Return why `match` matches none of `candidates`; `class_of` gives a tensor's module class."""
    if not candidates:
        return "the checkpoint has no tensors"
    first = candidates[:MAX_TRIED]
    classes = dict.fromkeys(filter(None, (class_of(candidate.name) for candidate in first)))
    tensors = _Tensors([replace(each, is_swept=True) for each in first], list(classes))
    if buffers := tensors.hold(match):
        return (
            f"of these buffers, {listed(buffers)}, each keeps its own init; "
            'add `"kind": "buffer"` to fill them'
        )
    given = match.model_dump(exclude_none=True, exclude={"not_"})
    for criterion, explain in _EXPLAIN.items():
        if criterion in given:
            alone = Match.model_validate({criterion: getattr(match, criterion)})
            if not tensors.hold(alone):
                return explain(match, tensors)
    if match.excluded and tensors.hold(match.model_copy(update={"not_": None})):
        return "`not` excludes every tensor that the other criteria match"
    return "each criterion holds for some tensor, but no tensor has all: " + "; ".join(
        f"`{name}` holds for {listed(tensors.hold(Match.model_validate({name: value}))[:3])}"
        for name, value in _single(match, given)
    )


def _single(match: Match, given: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    return ((name, getattr(match, name)) for name in given)


def _of_kind(match: Match, tensors: _Tensors) -> str:
    there = listed(list(dict.fromkeys(each.kind for each in tensors.candidates)))
    return f"no tensor is of this `kind`; kinds here: {there}"


def _of_ndim(match: Match, tensors: _Tensors) -> str:
    there = sorted({each.ndim for each in tensors.candidates})
    return f"no tensor has this `ndim`; here they have {', '.join(map(str, there))} dimensions"


def _of_parameter(match: Match, tensors: _Tensors) -> str:
    parameter = match.parameter or ""
    for glob in (parameter, f"**.{parameter}"):
        if ("." in parameter or set(parameter) & set("*?[{")) and tensors.take(glob):
            return (
                "`parameter` is the last segment of a name, not a glob; "
                f'use `"name": "{glob}"` instead'
            )
    there = list(dict.fromkeys(name.rpartition(".")[2] for name in tensors.names))
    return f"no tensor's `parameter` is {parameter!r}; {_did_you_mean(parameter, there)}"


def _of_module(match: Match, tensors: _Tensors) -> str:
    if not tensors.classes:
        return "these tensors have no modules, so `module` matches none; use `name`"
    there = f"classes here: {listed(tensors.classes)}"
    for module in match.module or ():
        if module.startswith("Lazy") and (plain := module.removeprefix("Lazy")) in tensors.classes:
            return f"a {module} is a {plain} once it has its shape: match {plain!r}"
        if module in tensors.modules:
            return (
                f"{module!r} is the name of a module, and `module` is a class; "
                f'use `"name": "{module}.**"` instead'
            )
        if set(module) & set("*?["):
            return f"`module` is the name of a class, or a list of them, not a glob; {there}"
        if close := near(module, tensors.classes):
            return f"no module is a {module!r}; did you mean {' or '.join(map(repr, close))}?"
    return f"no module is a {listed(match.module or ())}; {there}"


def _of_name(match: Match, tensors: _Tensors) -> str:
    for glob in match.names:
        if glob is not None and (hint := _hint(glob, tensors)):
            return hint
    return f"`name` matches none of the tensors: {ends(tensors.names)}"


def _hint(glob: str, tensors: _Tensors) -> str | None:
    """Return a glob like `glob` that matches, with the reason; None if there is none."""
    if glob in tensors.modules:
        return f"{glob!r} is a module; its tensors are '{glob}.**'"
    if parametrized := _parametrized(glob, tensors):
        return parametrized
    wide = re.sub(r"(?<!\*)\*(?!\*)", "**", glob)
    for like in (wide, f"**.{glob}", f"**.{wide}", f"{glob}.**", f"{wide}.**"):
        if like != glob and tensors.take(like):
            return f"{glob!r} does not reach them; did you mean {like!r}? (`*` stays in a segment)"
    if _REGEX.search(glob):
        like = glob
        for pattern, text in _REPLACED:
            like = re.sub(pattern, text, like)
        also = f"; did you mean {like!r}?" if tensors.take(like) else ""
        return f"`name` is a glob, not a regular expression{also}"
    lower = glob.lower()
    if found := [name for name in tensors.names if name.lower() == lower]:
        return f"names have upper and lower case; did you mean {found[0]!r}?"
    if close := near(glob, tensors.names[:1000]):
        return f"no tensor {glob!r}; did you mean {' or '.join(map(repr, close))}?"
    return None


def _parametrized(glob: str, tensors: _Tensors) -> str | None:
    """Return the globs of the weights that a parametrization replaces by others, if `glob` does."""
    head, _, last = glob.rpartition(".")
    start = f"{head}.parametrizations.{last}" if head else f"parametrizations.{last}"
    found = [f"{start}.{name}" for name in ("original1", "original")]
    found = [like for like in found if tensors.take(like)]
    if not found:
        return None
    return f"{last!r} is parametrized; its values are {' and '.join(map(repr, found))}"


def _did_you_mean(word: str, words: Sequence[str]) -> str:
    close = near(word, words)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else f"here: {listed(words)}"


_EXPLAIN: Mapping[str, Callable[[Match, _Tensors], str]] = {
    "kind": _of_kind,
    "module": _of_module,
    "parameter": _of_parameter,
    "ndim": _of_ndim,
    "name": _of_name,
}
