"""Range and conditional requests (RFC 9110, sections 13 and 14) as pure functions.

Ranges are half-open here; HTTP's inclusive ends stay inside the parser and `content_range`.
What a request asks for is a value, whatever it says: nothing in this module raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

MAX_RANGES = 64  # That are served: each costs a part of the answer.
MAX_ASKED = 1024  # That are looked at: a longer list is an attack (section 17.15).

_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
# Section 8.8.3: etagc is visible ASCII but the double quote, or obs-text; "W/" is case-sensitive.
_TAG_ITEM = re.compile(r'[ \t]*(?:((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*)?(?:,|\Z)')


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole representation is the answer (200): there is no range to serve."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """These ranges are the answer (206): half-open (start, stop), in the order asked.

    At least one; none is empty, reaches past the end, or overlaps another. So they are
    never more bytes together than the representation has.
    """

    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """Not one of the ranges asked begins inside the representation (416)."""


@dataclass(frozen=True, slots=True)
class NotModified:
    """The client has the current representation already (304)."""


@dataclass(frozen=True, slots=True)
class PreconditionFailed:
    """The representation is not the one that the request is meant for (412)."""


RangeOutcome = Whole | Ranges | Unsatisfiable
Outcome = RangeOutcome | NotModified | PreconditionFailed


def evaluate(
    method: str,
    headers: Iterable[tuple[str, str]],
    *,
    etag: str,
    size: int,
    max_ranges: int = MAX_RANGES,
) -> Outcome:
    """What a request for a representation of `size` bytes is answered with.

    `headers` are the request's fields, names in any case and repeated ones as they came;
    `etag` is the representation's strong entity tag with its quotes. To be asked only
    when the answer would be 200 without these fields (section 13.2.1).

    The order is that of section 13.2.2. Our representations have no modification date,
    so If-Unmodified-Since and If-Modified-Since are ignored, as sections 13.1.3 and
    13.1.4 say, and an If-Range with a date is never true (13.1.5).
    """
    fields = _combined(headers)
    if_match, if_none_match = fields.get("if-match"), fields.get("if-none-match")
    safe = method in ("GET", "HEAD")
    if if_match is not None and not matches(if_match, etag, weak=False):
        return PreconditionFailed()
    if if_none_match is not None and matches(if_none_match, etag, weak=True):
        return NotModified() if safe else PreconditionFailed()
    # Section 14.2: Range is defined for GET alone.
    if method != "GET" or not if_range_holds(fields.get("if-range"), etag):
        return Whole()
    return parse_range(fields.get("range"), size, max_ranges=max_ranges)


def parse_range(header: str | None, size: int, *, max_ranges: int = MAX_RANGES) -> RangeOutcome:
    """What a Range field asks of a representation of `size` bytes (sections 14.1 and 14.2).

    Ranges whose end is past the last byte are clamped, those that begin there are
    dropped, and Unsatisfiable is when that leaves none. Those that overlap are coalesced,
    and then all are in ascending order (section 15.3.7.2). Whole is for what may or must
    be ignored: no field, another unit, a syntax error anywhere in it (an end before its
    start is one), more than MAX_ASKED list members, more than `max_ranges` ranges that
    are left to serve, and any suffix of nothing, for which there is no Content-Range.
    """
    specs = _specs(header or "")
    if not specs:
        return Whole()
    resolved = [_resolve(first, last, size) for first, last in specs]
    spans = _apart([span for span in resolved if span is not None])
    if not spans:
        return Unsatisfiable()
    return Whole() if size == 0 or len(spans) > max_ranges else Ranges(tuple(spans))


def _apart(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """`spans` as they are, or in ascending order and coalesced if any two overlap."""
    ordered = sorted(spans)
    if all(left[1] <= right[0] for left, right in pairwise(ordered)):
        return spans
    merged = ordered[:1]
    for start, stop in ordered[1:]:
        if start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged


def _specs(header: str) -> list[tuple[str, str]]:
    """The (first, last) digits of each range without leading zeros; "" where absent.

    Section 14.1.1 with its erratum 7306 (blanks after "="), and 5.6.1.2 (empty list
    members). [] when any of it is no valid ranges-specifier of bytes, or it is too long.
    """
    unit, _, listed = header.strip(" \t").partition("=")
    if unit.lower() != "bytes" or listed.count(",") >= MAX_ASKED:
        return []
    specs = []
    for member in listed.split(","):
        if not (text := member.strip(" \t")):
            continue
        match = _SPEC.fullmatch(text)
        if match is None or text == "-":
            return []
        first, last = (digits and (digits.lstrip("0") or "0") for digits in match.groups())
        # Compared as digits, of which int() refuses more than a few thousand.
        if first and last and (len(last), last) < (len(first), first):
            return []
        specs.append((first, last))
    return specs


def _resolve(first: str, last: str, size: int) -> tuple[int, int] | None:
    """The half-open range of a spec within `size` bytes, None when it is unsatisfiable."""
    if not first:  # the last so many bytes (section 14.1.2)
        length = _clamped(last, size)
        return (size - length, size) if last != "0" else None
    start = _clamped(first, size)
    stop = min(_clamped(last, size) + 1, size) if last else size
    return (start, stop) if start < size else None


def _clamped(digits: str, size: int) -> int:
    """The number that `digits` say, or `size` when that is less."""
    return size if len(digits) > len(str(size)) else min(int(digits), size)


def matches(header: str, etag: str, *, weak: bool) -> bool:
    """Whether an If-Match or If-None-Match field names `etag` (sections 13.1.1 and 13.1.2).

    `*` is any. `weak` is the comparison of If-None-Match, where W/ makes no difference; the
    strong one, of If-Match, is false for weak tags (section 8.8.3.2). A field that is no
    list of entity tags names none.
    """
    if header.strip(" \t") == "*":
        return True
    if weak:
        return _opaque(etag) in map(_opaque, _tags(header))
    return _is_strong(etag) and etag in _tags(header)


def if_range_holds(header: str | None, etag: str) -> bool:
    """Whether Range may be heeded: no If-Range, or one strongly equal to `etag` (13.1.5)."""
    return header is None or (_is_strong(etag) and header.strip(" \t") == etag)


def content_range(start: int, stop: int, size: int) -> str:
    """The Content-Range of bytes [start, stop), not empty, of `size` (section 14.4)."""
    assert 0 <= start < stop <= size
    return f"bytes {start}-{stop - 1}/{size}"


def unsatisfied_range(size: int) -> str:
    """The Content-Range of a 416 (section 15.5.17)."""
    return f"bytes */{size}"


def _tags(header: str) -> list[str]:
    tags, at = [], 0
    while at < len(header):
        match = _TAG_ITEM.match(header, at)
        if match is None:
            return []
        if match[1]:
            tags.append(match[1])
        at = match.end()
    return tags


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/")


def _is_strong(tag: str) -> bool:
    return not tag.startswith("W/")


def _combined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Fields by lower-case name, repeated ones joined to one list (section 5.3)."""
    fields: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        fields[key] = f"{fields[key]}, {value}" if key in fields else value
    return fields
