"""JSON as a stranger sends it: strict, and safe from what only looks like JSON."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn

from models.errors import SpecError
from models.faults import join
from service.errors import MalformedBody

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")
_Way = tuple["_Way", str | int] | None  # To a place in a document, its last step first.


def parse_json(body: bytes) -> Any:
    """The document in `body`: UTF-8 (RFC 8259, 8.1), no NaN or Infinity.

    Raises MalformedBody, and SpecError for a document that names one member twice: which
    of the two counts would be anybody's guess.
    """
    try:
        text = body.decode("utf-8-sig")
        twice: list[_Twice] = []
        document = json.loads(text, object_pairs_hook=_reader(twice), parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise MalformedBody(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MalformedBody(f"not JSON: {error.msg.lower()} at {place}") from None
    except RecursionError:
        raise MalformedBody("nested too deeply: about a thousand levels can be read") from None
    except ValueError:
        digits = sys.get_int_max_str_digits()
        raise MalformedBody(f"a whole number has more than {digits} digits") from None
    if twice:
        _refuse_twice(document)
    if _SURROGATE.search(text) and (path := _find(document, _is_broken)) is not None:
        where = f" at {path}" if path else ""
        raise MalformedBody(f"a string{where} has half of a surrogate pair, which is no character")
    return document


class _Twice(dict[str, Any]):
    """An object that names a member twice."""

    member: str


def _reader(twice: list[_Twice]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """What makes an object of its members, and adds to `twice` those that name one twice."""

    def read(members: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(members)
        if len(document) == len(members):
            return document
        counts = Counter(name for name, _ in members)
        marked = _Twice(document)
        marked.member = next(name for name, count in counts.items() if count > 1)
        twice.append(marked)
        return marked

    return read


def _refuse_twice(document: Any) -> NoReturn:
    """Raises SpecError at the first member that is named twice."""
    found: list[_Twice] = []

    def is_twice(value: Any) -> bool:
        found.extend([value] if isinstance(value, _Twice) else [])
        return bool(found)

    place = _find(document, is_twice)
    assert place is not None
    member = found[0].member
    raise SpecError.at(join(place, member), f"an object has the member {member!r} twice")


def _is_broken(value: Any) -> bool:
    """Whether it is a string with half of a surrogate pair in it."""
    return isinstance(value, str) and _HALF.search(value) is not None


def _find(document: Any, fits: Callable[[Any], bool]) -> str | None:
    """The path of the first value, or key, that `fits`; None when none does."""
    left: list[tuple[Any, _Way]] = [(document, None)]
    while left:
        value, way = left.pop()
        if fits(value):
            return _path(way)
        if isinstance(value, dict):
            if any(map(fits, value)):
                return _path((way, next(filter(fits, value))))
            left.extend((inner, (way, key)) for key, inner in reversed(value.items()))
        elif isinstance(value, list):
            left.extend((inner, (way, n)) for n, inner in reversed(list(enumerate(value))))
    return None


def _path(way: _Way) -> str:
    steps: list[str | int] = []
    while way is not None:
        steps.append(way[1])
        way = way[0]
    return join("", *reversed(steps))


def _constant(name: str) -> NoReturn:
    raise MalformedBody(f"not JSON: {name} is not a JSON number")
