"""Strict parser of untrusted JSON."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.validation.faults import MAX_FAULTS, join
from seedpoint.service.errors import MalformedBody

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_YAML = re.compile(r"^[\w-]+:(\s|$)", re.MULTILINE)
_HALF = re.compile("[\ud800-\udfff]")
_BROKEN = "a string has half of a surrogate pair, which is not a character"
_Way = tuple["_Way", str | int] | None  # Path to a place in a document, last step first.


def parse_json(body: bytes) -> Any:
    """Parse the document in `body`, JSON in UTF-8 (RFC 8259, section 8.1).

    Raises: MalformedBody; SpecError, with the place of each fault, for values without a definite
    meaning: NaN and infinite numbers, whole numbers of thousands of digits, halves of surrogate
    pairs, and members that are named twice.
    """
    reader = _Reader()
    try:
        text = body.decode("utf-8-sig")
        document = reader.read(text)
    except UnicodeDecodeError as error:
        raise MalformedBody(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        likeness = _likeness(text, error.pos)
        raise MalformedBody(f"not JSON: {error.msg.lower()} at {place}{likeness}") from None
    except RecursionError:
        raise MalformedBody("nested too deeply; at most about 1,000 levels are allowed") from None
    if reader.has_faults or _SURROGATE.search(text):
        _refuse(document)
    return document


def _likeness(text: str, at: int) -> str:
    """Return the other notation that the text has at its first error, if it is a common one."""
    rest = text[at:].lstrip()
    before = text[:at].rstrip()
    if not text.strip():
        return "; the body is empty"
    if re.match(r",?\s*[}\]]", rest) and (rest[:1] == "," or before.endswith(",")):
        return "; JSON has no comma before a closing bracket"
    if rest.startswith(("#", "//", "/*")):
        return "; JSON has no comments"
    if rest[:1] == "'" or re.match(r"True|False|None|\(|\w+\(", rest):
        return "; this is a Python literal: json.dumps writes it as JSON"
    if not text.lstrip().startswith(("{", "[")) and _YAML.search(text):
        return "; this is YAML: convert it to JSON"
    if rest[:1] in ("\u201c", "\u201d", "\u2018", "\u2019"):
        return "; JSON has straight quotation marks"
    if re.match(r"[A-Za-z_$][\w$]*\s*:", rest) and before[-1:] in ("{", ","):
        return "; JSON has its keys in double quotes (this is YAML or JavaScript)"
    if re.match(r"[+-]?inf", rest, re.IGNORECASE):
        return '; infinity is the string "Infinity" or "-Infinity"'
    return ""


class _Twice(dict[str, Any]):
    """Object that names a member twice."""

    member: str


class _NoNumber:
    """Mark in place of an invalid number, with the reason."""

    def __init__(self, why: str) -> None:
        self.why = why


class _Reader:
    """Reader of a document, which leaves a mark where it finds a fault."""

    def __init__(self) -> None:
        self.has_faults = False

    def read(self, text: str) -> Any:
        return json.loads(
            text,
            object_pairs_hook=self._object,
            parse_constant=self._constant,
            parse_int=self._whole,
        )

    def _object(self, members: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(members)
        if len(document) == len(members):
            return document
        counts = Counter(name for name, _ in members)
        marked = _Twice(document)
        marked.member = next(name for name, count in counts.items() if count > 1)
        self.has_faults = True
        return marked

    def _constant(self, name: str) -> _NoNumber:
        self.has_faults = True
        written = "" if name == "NaN" else f'; write "{name}" in quotes where infinity is allowed'
        return _NoNumber(f"{name} is not a JSON number; expected a finite number{written}")

    def _whole(self, digits: str) -> int | _NoNumber:
        try:
            return int(digits)
        except ValueError:  # Above Python's own limit: parsing takes quadratic time.
            self.has_faults = True
            most = sys.get_int_max_str_digits()
            return _NoNumber(f"expected a whole number of at most {most} digits")


def _refuse(document: Any) -> None:
    """Raise SpecError with the faults of a document, if it has any."""
    faults = list(islice(_faults(document), MAX_FAULTS))
    if faults:
        raise SpecError(faults)


def _is_broken(value: Any) -> bool:
    """Return whether `value` is a string with half of a surrogate pair."""
    return isinstance(value, str) and _HALF.search(value) is not None


def _faults(document: Any) -> Iterator[Fault]:
    """Yield the faults of a document, in its order."""
    left: list[tuple[Any, _Way]] = [(document, None)]
    while left:
        value, way = left.pop()
        if isinstance(value, _NoNumber):
            yield Fault(_path(way), value.why)
        elif _is_broken(value):
            yield Fault(_path(way), _BROKEN)
        elif isinstance(value, dict):
            if isinstance(value, _Twice):
                place = join(_path(way), value.member)
                yield Fault(place, f"an object has the member {value.member!r} twice")
            yield from (Fault(_path((way, key)), _BROKEN) for key in filter(_is_broken, value))
            left.extend((inner, (way, key)) for key, inner in reversed(value.items()))
        elif isinstance(value, list):
            left.extend((inner, (way, n)) for n, inner in reversed(list(enumerate(value))))


def _path(way: _Way) -> str:
    steps: list[str | int] = []
    while way is not None:
        steps.append(way[1])
        way = way[0]
    return join("", *reversed(steps))
