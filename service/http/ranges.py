"""Range and conditional requests (RFC 9110, sections 13 and 14) as pure functions.

Ranges are half-open; HTTP's inclusive ends stay inside the parser and `content_range`.
No function here raises on a request's fields: every outcome is a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

MAX_RANGES = 64  # Ranges served; each costs one part of the response.
MAX_ASKED = 1024  # Ranges parsed; a longer list is an attack (section 17.15).

_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
# Section 8.8.3: etagc is visible ASCII except the double quote, or obs-text; "W/" is
# case-sensitive.
_TAG_ITEM = re.compile(r'[ \t]*(?:((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*)?(?:,|\Z)')


@dataclass(frozen=True, slots=True)
class Whole:
    """Outcome 200: the whole representation, without a range."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """Outcome 206: half-open ranges (start, stop), in the order asked.

    There is at least one range. None is empty, reaches past the end or overlaps another, so
    their total never exceeds the representation's size.
    """

    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """Outcome 416: no requested range begins inside the representation."""


@dataclass(frozen=True, slots=True)
class NotModified:
    """Outcome 304: the client already has the current representation."""


@dataclass(frozen=True, slots=True)
class PreconditionFailed:
    """Outcome 412: the request is meant for another representation."""


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
    """Return the outcome of a request for a representation of `size` bytes.

    `headers` are the request's fields, with names in any case and repeated fields in the order
    received; `etag` is the representation's strong entity tag with its quotes. Call it only if
    the response would be 200 without these fields (section 13.2.1).

    Preconditions are evaluated in the order of section 13.2.2. Our representations have no
    modification date, so If-Unmodified-Since and If-Modified-Since are ignored (sections 13.1.3
    and 13.1.4), and an If-Range with a date is never true (13.1.5).
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
    """Parse a Range field for a representation of `size` bytes (sections 14.1 and 14.2).

    A range that ends past the last byte is clamped; one that begins there is dropped. The
    result is Unsatisfiable if none is left. If any ranges overlap, they are coalesced and all
    ranges are sorted (section 15.3.7.2).

    The result is Whole if the field may or must be ignored: no field, another unit, a syntax
    error anywhere in it (including an end before its start), more than MAX_ASKED list members,
    more than `max_ranges` ranges left to serve, or a suffix of an empty representation, for
    which no Content-Range exists.
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
    """Return `spans` unchanged, or sorted and coalesced if any two overlap."""
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
    """Return the (first, last) digits of each range, without leading zeros; "" where absent.

    Follows section 14.1.1 with its erratum 7306 (blanks after "="), and 5.6.1.2 (empty list
    members). The result is [] if the field is not a valid ranges-specifier of bytes, or if it
    is too long.
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
        # Compare digit strings: int() refuses more than a few thousand digits.
        if first and last and (len(last), last) < (len(first), first):
            return []
        specs.append((first, last))
    return specs


def _resolve(first: str, last: str, size: int) -> tuple[int, int] | None:
    """Return a spec's half-open range within `size` bytes; None if it is unsatisfiable."""
    if not first:  # suffix range (section 14.1.2)
        length = _clamped(last, size)
        return (size - length, size) if last != "0" else None
    start = _clamped(first, size)
    stop = min(_clamped(last, size) + 1, size) if last else size
    return (start, stop) if start < size else None


def _clamped(digits: str, size: int) -> int:
    """Return the smaller of `size` and the number that `digits` spell."""
    return size if len(digits) > len(str(size)) else min(int(digits), size)


def matches(header: str, etag: str, *, weak: bool) -> bool:
    """Return whether an If-Match or If-None-Match field names `etag` (sections 13.1.1, 13.1.2).

    `*` names any tag. `weak` selects the comparison of If-None-Match, which ignores W/; the
    strong comparison of If-Match is false for weak tags (section 8.8.3.2). A malformed field
    names none.
    """
    if header.strip(" \t") == "*":
        return True
    if weak:
        return _opaque(etag) in map(_opaque, _tags(header))
    return _is_strong(etag) and etag in _tags(header)


def if_range_holds(header: str | None, etag: str) -> bool:
    """Return whether Range applies: no If-Range, or one strongly equal to `etag` (13.1.5)."""
    return header is None or (_is_strong(etag) and header.strip(" \t") == etag)


def content_range(start: int, stop: int, size: int) -> str:
    """Return the Content-Range of the non-empty [start, stop) of `size` bytes (section 14.4)."""
    assert 0 <= start < stop <= size
    return f"bytes {start}-{stop - 1}/{size}"


def unsatisfied_range(size: int) -> str:
    """Return the Content-Range of a 416 (section 15.5.17)."""
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
    """Return the fields by lower-case name; repeated fields become one list (section 5.3)."""
    fields: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        fields[key] = f"{fields[key]}, {value}" if key in fields else value
    return fields
