"""Renaming of tensors by globs: the names of another framework over the same bits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StrictStr, ValidationInfo, field_validator

from seedpoint.models.errors import SpecError
from seedpoint.models.rules import globs
from seedpoint.models.rules.rule import Glob
from seedpoint.models.validation.numbers import Schema

MAX_TRIED = 2_000_000
"""Renames times names: as many matches take about two seconds."""

_SHOWN = 3  # names that a message quotes
_TOKEN = re.compile(r"(?P<wild>\*\*?)|\{(?P<name>[^{}]*)\}|(?P<text>[^*{}]+)|(?P<bad>.)", re.DOTALL)


def _glob_of(value: Any) -> Any:
    """Return the glob of `{"name": glob}`, the form of a rule's `match`; other values unchanged."""
    is_match = isinstance(value, Mapping) and value.keys() == {"name"}
    return value["name"] if is_match else value


class Rename(Schema):
    """Glob on names, and the name that a tensor with a matching one gets."""

    match: Annotated[Glob, BeforeValidator(_glob_of)]
    to: Annotated[StrictStr, Field(min_length=1, max_length=globs.MAX_LENGTH)] = Field(
        description="New name. `{layer}` is what `match` captures; the first `*` or `**` is the "
        "text of the first in `match`, and so on.",
        examples=["layers.{layer}.**.weight"],
    )

    @field_validator("to")
    @classmethod
    def _filled(cls, to: str, info: ValidationInfo) -> str:
        if (match := info.data.get("match")) is not None:
            _check(to, match)
        return to

    def apply(self, name: str) -> str | None:
        """Return the new name of a tensor; None if `match` does not match its name."""
        expression = globs.compile_glob(self.match, keeping=True)
        if (found := expression.fullmatch(name)) is None:
            return None
        named = set(expression.groupindex.values())
        kept = [found[group] for group in range(1, expression.groups + 1) if group not in named]
        texts = found.groupdict() | dict(zip(_wildcards(self.match), kept, strict=True))
        new, follows_nothing = "", False
        for kind, text in _tokens(self.to):
            if kind == "text":
                # `**.` also stands for no segment at all, as in a glob.
                is_bare = follows_nothing and text.startswith(".")
                new += text[1:] if is_bare and (not new or new.endswith(".")) else text
            else:
                new += texts[text]
            follows_nothing = text.startswith("**") and not texts.get(text, "*")
        return new


def renamed(names: Sequence[str], renames: Sequence[Rename]) -> dict[str, str]:
    """Return the new name of each of `names` that one of `renames`, tried in order, matches.

    Raises:
        SpecError: A rename has no effect, two tensors would have one name or one none, or
            `renames` are too many for so many names; at paths from `rename` on.
    """
    if len(renames) * len(names) > MAX_TRIED:
        most = MAX_TRIED // len(names)
        message = f"{len(renames)} are too many for {len(names)} names; at most {most} are allowed"
        raise SpecError.at("rename", message)
    found: dict[str, tuple[str, int]] = {}
    for name in names:
        for number, rename in enumerate(renames):
            if (new := rename.apply(name)) is not None:
                if not new:
                    raise SpecError.at(f"rename.{number}.to", f"leaves no name for {name!r}")
                found[name] = new, number
                break
    used = {number for _, number in found.values()}
    if unused := [number for number in range(len(renames)) if number not in used]:
        shown = ", ".join(map(repr, names[:_SHOWN]))
        message = f"no tensor that earlier renames leave has such a name; there are {shown}, ..."
        raise SpecError.at(f"rename.{unused[0]}.match", message)
    _refuse_equal(names, found)
    return {name: new for name, (new, _) in found.items()}


def _refuse_equal(names: Sequence[str], found: Mapping[str, tuple[str, int]]) -> None:
    origins: dict[str, str] = {}
    for name in names:
        new = found[name][0] if name in found else name
        if (other := origins.setdefault(new, name)) != name:
            number = found[name if name in found else other][1]
            message = f"{other!r} and {name!r} would both be named {new!r}; names must differ"
            raise SpecError.at(f"rename.{number}.to", message)


def _check(to: str, match: str) -> None:
    """Raise ValueError unless `match` has all that `to` refers to."""
    names, wildcards = globs.captures(match), set(_wildcards(match))
    for kind, text in _tokens(to):
        if kind == "name" and text not in names:
            there = ", ".join(f"{{{name}}}" for name in sorted(names)) or "none"
            raise ValueError(f"{{{text}}} is not captured by `match`; its captures: {there}")
        if kind == "wild" and text not in wildcards:
            kept = text.split()[0]
            raise ValueError(f"has more `{kept}` than `match`, which says what each stands for")


def _wildcards(pattern: str) -> list[str]:
    """Return the wildcards of a glob, each kind numbered by itself: `** 1`, `* 1`, `** 2`."""
    counts = Counter[str]()
    found: list[str] = []
    for wildcard in globs.wildcards(pattern):
        counts[wildcard] += 1
        found.append(f"{wildcard} {counts[wildcard]}")
    return found


def _tokens(to: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of a new name: ("text", text), ("name", capture) or ("wild", `* 1`)."""
    counts = Counter[str]()
    for found in _TOKEN.finditer(to):
        kind = str(found.lastgroup)
        if kind == "bad":
            raise ValueError(f"{to!r} does not parse at {to[found.start() :][:20]!r}")
        counts[found[0]] += 1
        yield kind, f"{found[0]} {counts[found[0]]}" if kind == "wild" else found[kind]
