"""JSON as a stranger sends it: strict, and safe from what only looks like JSON."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from models.errors import SpecError
from service.errors import MalformedBody

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(body: bytes) -> Any:
    """The document in `body`: UTF-8 (RFC 8259, 8.1), no NaN or Infinity.

    Raises MalformedBody, and SpecError for a document that names one member twice: which
    of the two counts would be anybody's guess.
    """
    try:
        text = body.decode("utf-8-sig")
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
        if _SURROGATE.search(text):
            json.dumps(document, ensure_ascii=False).encode()
    except SpecError:
        raise
    except UnicodeDecodeError as error:
        raise MalformedBody(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except UnicodeEncodeError:
        raise MalformedBody(
            "a string has half of a surrogate pair, which is no character"
        ) from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MalformedBody(f"not JSON: {error.msg.lower()} at {place}") from None
    except RecursionError:
        raise MalformedBody("nested too deeply: about a thousand levels can be read") from None
    except ValueError as error:  # An integer of more digits than Python converts.
        raise MalformedBody(f"not readable: {error}") from None
    return document


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(members)
    if len(document) < len(members):
        names = [name for name, _ in members]
        twice = next(name for name in names if names.count(name) > 1)
        raise SpecError.at("", f"an object has the member {twice!r} twice")
    return document


def _constant(name: str) -> NoReturn:
    raise MalformedBody(f"not JSON: {name} is not a JSON number")
