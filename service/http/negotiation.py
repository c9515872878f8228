"""Parsers of request fields that negotiate the response.

`Accept` (RFC 9110, 12.5.1), `Prefer` (RFC 7240), `Want-Repr-Digest` (RFC 9530).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from seedpoint.service.errors import NotAcceptable, UnsupportedMediaType

JSON = "application/json"
OCTETS = "application/octet-stream"
MIXED = "multipart/mixed"
FORM = "application/x-www-form-urlencoded"

_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')  # List element; may quote commas.
_WANTED = re.compile(r"sha-256=([0-9]|10)")


class _Range(NamedTuple):
    """Media range of an `Accept` header, with its weight in [0, 1]."""

    type: str
    subtype: str
    quality: float

    def specificity(self, media_type: str) -> int:
        """Return 0 if the range excludes `media_type`, else a number that grows as it narrows."""
        main, _, sub = media_type.partition("/")
        if (self.type, self.subtype) == (main, sub):
            return 3
        if self.subtype != "*":
            return 0
        return 2 if self.type == main else int(self.type == "*")


def choose(accept: str | None, offers: Sequence[str]) -> str:
    """Return the offer with the highest quality; the earliest one of several that tie.

    Raises: NotAcceptable, if the client accepts none.
    """
    ranges = _ranges(accept)
    if not ranges:
        return offers[0]
    qualities = [_quality(offer, ranges) for offer in offers]
    best = max(qualities)
    if best <= 0:
        raise NotAcceptable(f"Accept: {accept} holds none of {', '.join(offers)}")
    return offers[qualities.index(best)]


def _quality(offer: str, ranges: Sequence[_Range]) -> float:
    """Return the weight of the narrowest range that includes `offer`; 0 if none does."""
    matches = [(item.specificity(offer), item.quality) for item in ranges]
    return max((match for match in matches if match[0]), default=(0, 0.0))[1]


def _ranges(accept: str | None) -> list[_Range]:
    parsed = (_range(element) for element in (accept or "").split(","))
    return [item for item in parsed if item is not None]


def _range(element: str) -> _Range | None:
    """Parse a list element; return None for an empty or unreadable one, which is ignored."""
    name, *parameters = (part.strip() for part in element.lower().split(";"))
    main, slash, sub = name.partition("/")
    if not (main and slash and sub):
        return None
    quality = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            quality = _weight(value.strip())
    return _Range(main, sub, quality)


def weights(fields: Sequence[str]) -> dict[str, float]:
    """Return the members of a list such as `Accept-Encoding`, in lower case, with their weights.

    The last occurrence of a name counts.
    """
    found = {}
    for member in ",".join(fields).lower().split(","):
        name, *parameters = (part.strip() for part in member.split(";"))
        pairs = (parameter.partition("=") for parameter in parameters)
        qualities = [_weight(value.strip()) for key, _, value in pairs if key.strip() == "q"]
        if name:
            found[name] = qualities[0] if qualities else 1.0
    return found


def _weight(value: str) -> float:
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return 0.0 if math.isnan(weight) else min(max(weight, 0.0), 1.0)


def require_json(headers: Mapping[str, str]) -> None:
    """Check that a body is declared as JSON in UTF-8, or as the form that curl declares by default.

    Parameters other than the charset are ignored (RFC 8259, 11). A form with an `Origin` is
    refused: a page of another site can make a browser send one.

    Raises: UnsupportedMediaType.
    """
    content_type = headers.get("content-type")
    if is_form(content_type) and "origin" not in headers:
        return
    name, *parameters = (part.strip() for part in (content_type or "").lower().split(";"))
    is_json = name == JSON or (name.startswith("application/") and name.endswith("+json"))
    pairs = [parameter.partition("=") for parameter in parameters]
    charsets = [value.strip(' \t"') for key, _, value in pairs if key.strip() == "charset"]
    if not is_json or any(charset != "utf-8" for charset in charsets):
        raise _not_json(content_type)


def require_json_body(content_type: str | None, body: bytes) -> None:
    """Check that a body declared as a form is a JSON object, as curl sends it with `-d`.

    Raises: UnsupportedMediaType.
    """
    if is_form(content_type) and not body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        raise _not_json(content_type)


def is_form(content_type: str | None) -> bool:
    """Return whether a body is declared as an HTML form, as curl does by default."""
    return (content_type or "").partition(";")[0].strip().lower() == FORM


def _not_json(content_type: str | None) -> UnsupportedMediaType:
    return UnsupportedMediaType(
        f"send the spec as JSON with 'Content-Type: application/json', not {content_type!r} "
        "(curl: --json @spec.json, or -d @spec.json -H 'Content-Type: application/json')"
    )


def require_identity(content_encoding: Sequence[str]) -> None:
    """Check that a body is not compressed (RFC 9110, 15.5.16).

    Raises: UnsupportedMediaType.
    """
    codings = [coding.strip() for field in content_encoding for coding in field.split(",")]
    if any(coding.lower() not in ("", "identity") for coding in codings):
        raise UnsupportedMediaType(
            f"send the body uncompressed, not with 'Content-Encoding: {', '.join(codings)[:100]}'",
            headers={"Accept-Encoding": "identity"},
        )


def preferences(prefer: Sequence[str]) -> dict[str, str]:
    """Parse `Prefer` into values by lower-case name; the first occurrence of a name counts."""
    found: dict[str, str] = {}
    for element in _ELEMENT.findall(",".join(prefer)):
        name, _, value = element.split(";")[0].partition("=")
        if name.strip():
            found.setdefault(name.strip().lower(), value.strip().strip('"').lower())
    return found


def patience(prefer: Mapping[str, str], default_seconds: float) -> tuple[float, list[str]]:
    """Return the seconds to wait for slow work, and the preferences that decided it.

    `wait` takes precedence over `respond-async`, which alone means no wait (RFC 7240, 4.3).
    """
    said = ["respond-async"] if "respond-async" in prefer else []
    wait = prefer.get("wait", "")
    if re.fullmatch("[0-9]{1,9}", wait):
        return float(wait), [*said, f"wait={int(wait)}"]
    return (0.0 if said else default_seconds), said


def applied_field(applied: Sequence[str]) -> dict[str, str]:
    """Return a `Preference-Applied` field (RFC 7240, 3), or no field if nothing was applied."""
    return {"Preference-Applied": ", ".join(applied)} if applied else {}


def wants_sha256(fields: Sequence[str]) -> bool:
    """Return whether `Want-Repr-Digest` asks for SHA-256 (RFC 9530, 4); the last member counts."""
    members = (member.strip(" \t") for member in ",".join(fields).split(","))
    weights = [match[1] for member in members if (match := _WANTED.fullmatch(member))]
    return bool(weights) and weights[-1] != "0"
