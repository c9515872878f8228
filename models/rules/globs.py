"""Globs over dotted tensor names.

`*` and `?` stay inside a segment, `**` crosses segments, `[abc]` and `[!abc]` match one character
of a segment, and `{layer}` captures an integer: a whole segment, or, beside a text, digits within
one (`layer{n}.*`). `**.` also matches no segment at all, so `**.bias` matches `bias`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache

MAX_LENGTH = 1000  # characters
MAX_CHOICES = 3  # globs that a message writes for choices in braces
_TOKEN = re.compile(
    r"(?P<many>\*\*)|(?P<some>\*)|(?P<one>\?)|\[(?P<not>!?)(?P<set>\]?[^\]]*)\]|\{(?P<name>[^{}]*)\}"
    r"|(?P<text>[^*?\[\]{}]+)|(?P<bad>.)",
    re.DOTALL,
)

_SPECIAL = re.compile(r"[*?\[\]{}]")
# Ends of a glob ("") and characters beside which a capture is a whole segment, or a side of one.
_WILDCARDS = ("", *"*?[]{}")


class GlobError(ValueError):
    """Glob that does not parse."""


def match(pattern: str, name: str) -> dict[str, int] | None:
    """Return the captured integers if `pattern` matches the whole of `name`, else None.

    The time is at most O(len(name)^2).

    Raises:
        GlobError: If `pattern` does not parse.
    """
    found = compile_glob(pattern).fullmatch(name)
    return None if found is None else captured(found)


def captured(found: re.Match[str]) -> dict[str, int]:
    """Return the captured integers of a match."""
    return {key: int(text) for key, text in found.groupdict().items()}


@lru_cache(maxsize=1 << 16)
def compile_glob(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of `pattern`.

    A wildcard that is followed by another is matched atomically at its earliest end. The rest of
    the pattern only needs to begin as early as possible, so this loses no match, and it keeps
    hostile patterns such as `*a*a*a*a*` from backtracking.

    Raises:
        GlobError: If `pattern` does not parse.
    """
    tokens = list(_tokens(pattern, set()))
    chunks = _split(tokens, "many")
    parts = [_chunk(chunk, anchored=len(chunks) == 1) for chunk in chunks[:1]]
    for number, chunk in enumerate(chunks[1:], start=2):
        last = number == len(chunks)
        body = _chunk(_optional_dot(chunk, chunks[number - 2]), anchored=last)
        parts.append(f".*?{body}" if last else f"(?>.*?{body})")
    return re.compile("".join(parts), re.DOTALL)


def captures(pattern: str) -> frozenset[str]:
    """Return the names that `pattern` captures, without compiling it.

    Raises:
        GlobError: If `pattern` does not parse.
    """
    names: set[str] = set()
    if len(pattern) <= MAX_LENGTH and _SPECIAL.search(pattern) is None:
        return frozenset()
    for _ in _tokens(pattern, names):
        pass
    return frozenset(names)


def is_plain(pattern: str) -> bool:
    """Return whether `pattern` has no wildcards, and so matches one name alone."""
    return texts(pattern) == [pattern]


def texts(pattern: str) -> list[str]:
    """Return the texts between the wildcards of `pattern`; every matching name holds each of them.

    Without wildcards the result is the whole pattern, which is then the only matching name.
    """
    if _SPECIAL.search(pattern) is None:
        return [pattern] if pattern else []
    found = [token["text"] for token in _TOKEN.finditer(pattern) if token["text"]]
    # The first dot after `**` may be missing in a name.
    return [text.removeprefix(".") for text in found]


Token = tuple[str, str]


def _tokens(pattern: str, captured: set[str]) -> Iterator[Token]:
    """Yield the tokens, and add the names of captures to `captured`."""
    if len(pattern) > MAX_LENGTH:
        raise GlobError(f"glob is longer than {MAX_LENGTH} characters")
    previous = ""
    for found in _TOKEN.finditer(pattern):
        kind = found.lastgroup or ""
        if found["bad"] or (previous == "many" and kind in ("many", "some")):
            raise GlobError(f"glob {pattern!r} does not parse at '{pattern[found.start() :][:20]}'")
        previous = kind
        if kind == "name":
            yield "text", _capture(found, pattern, captured)
        elif kind == "set":
            yield "text", _character_set(found["set"], bool(found["not"]), pattern)
        elif kind == "text":
            yield kind, re.escape(found["text"])
        else:
            yield ("text", r"[^.]") if kind == "one" else (kind, "")


def _capture(found: re.Match[str], pattern: str, seen: set[str]) -> str:
    """Return the expression of a capture: beside a text, it may be a part of a segment."""
    name = found["name"]
    if "," in name:
        raise GlobError(
            f"glob {pattern!r} has no choices in braces; write a list of globs: "
            f"{_choices(found, pattern)}"
        )
    if not name.isidentifier() or not name.isascii() or name in seen:
        raise GlobError(f"glob {pattern!r}: '{{{name}}}' must name one new capture, as '{{layer}}'")
    seen.add(name)
    before, after = pattern[: found.start()][-1:], pattern[found.end() :][:1]
    start = "(?<![^.])" if before in _WILDCARDS else ""
    stop = "(?![^.])" if after in _WILDCARDS else ""
    return rf"{start}(?P<{name}>[0-9]{{1,15}}+){stop}"


def _choices(found: re.Match[str], pattern: str) -> str:
    """Return the first globs that the braces stand for in a shell, as JSON."""
    before, after = pattern[: found.start()], pattern[found.end() :]
    globs = [f"{before}{choice.strip()}{after}" for choice in found["name"].split(",")]
    more = ", ..." if len(globs) > MAX_CHOICES else ""
    return f"[{', '.join(map(json.dumps, globs[:MAX_CHOICES]))}{more}]"


def _character_set(body: str, negated: bool, pattern: str) -> str:
    if not body:
        raise GlobError(f"glob {pattern!r} has an empty set '[]'")
    escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", body)
    expression = rf"(?!\.)[{'^' if negated else ''}{escaped}]"
    try:
        re.compile(expression)
    except re.error:
        raise GlobError(f"glob {pattern!r}: '[{body}]' is not a set of characters") from None
    return expression


def _split(tokens: list[Token], kind: str) -> list[list[Token]]:
    chunks: list[list[Token]] = [[]]
    for token in tokens:
        if token[0] == kind:
            chunks.append([])
        else:
            chunks[-1].append(token)
    return chunks


def _chunk(tokens: list[Token], *, anchored: bool) -> str:
    """Return the expression for text and `*` between two `**`.

    In an anchored chunk, the last `*` reaches the end of the chunk.
    """
    texts = ["".join(text for _, text in piece) for piece in _split(tokens, "some")]
    out = [texts[0]]
    for number, text in enumerate(texts[1:], start=2):
        final = anchored and number == len(texts)
        out.append(f"[^.]*{text}" if final else f"(?>[^.]*?{text})")
    return "".join(out)


def _optional_dot(chunk: list[Token], before: list[Token]) -> list[Token]:
    """Make the dot of `**.` at the start of a segment optional, together with the segments."""
    at_start = not before or before[-1][1].endswith(r"\.")
    if at_start and chunk and chunk[0][0] == "text" and chunk[0][1].startswith(r"\."):
        return [("text", rf"(?:(?<![^.])|\.){chunk[0][1][2:]}"), *chunk[1:]]
    return chunk
