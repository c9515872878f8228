r"""Conversion of pydantic's errors to faults, at paths as the caller wrote them.

A path is dotted: `architecture.layers.2.out_features`. A key that a dotted path cannot show
faithfully (it is empty, or holds `.`, `[`, `]`, `"`, `\`, a control character or a lone surrogate)
is a JSON string in brackets: `architecture.children["a.b"].bias`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import core_schema

from seedpoint.models.errors import Fault
from seedpoint.models.validation.foreign_words import (
    argument_elsewhere,
    home,
    last,
    layers_alone,
    meant,
    model_by_name,
    object_for,
    type_elsewhere,
)
from seedpoint.models.validation.messages import Asked, in_words

MAX_FAULTS = 100  # faults listed; the rest are counted
_MAX_COMPARED = 100  # characters; difflib takes quadratic time
# A longer list of words is shown by its ends. Among layers, the containers are first, and the lists
# of tensors and the models of libraries last; between them are the classes of torch.nn.
_MAX_WORDS = 40
_FIRST, _LAST = 7, 5

# Keys that need no brackets in a path.
_PLAIN = re.compile(r'[^.\[\]"\\\x00-\x1f\x7f\ud800-\udfff]+')
_PYDANTIC_TYPES = frozenset(get_args(core_schema.ErrorType)) - {"value_error", "assertion_error"}
# Tags of unions without a `type`, from architectures.json_type_union and validation.numbers.
_KIND_TAG = re.compile(r"\((null|scalar|string|list|object)\)|<[a-z_ ]+>")


def join(path: str, *segments: str | int) -> str:
    """Return `path` followed by keys and indices of a document."""
    for segment in segments:
        text = str(segment)
        if not _PLAIN.fullmatch(text):
            path += f"[{_json_string(text)}]"
        else:
            path += f".{text}" if path else text
    return path


def faults_from(
    error: ValidationError,
    document: Any,
    *,
    schema: Mapping[str, Any] | None = None,
    root: str = "",
) -> list[Fault]:
    """Return the faults of `error`, which validating `document` raised.

    `schema` is the JSON Schema of the validated type (`TypeAdapter(...).json_schema()`); with it,
    messages state what is expected. `root` is the path of `document` itself.

    Equal faults from several branches of a union are returned once. A fault of a branch that was
    not entered is dropped if another branch has faults deeper inside. A missing key is dropped if
    an unknown one stands for it. After `MAX_FAULTS` errors a last fault states how many more there
    are.
    """
    asked = Asked(schema, schema) if schema is not None else None
    found: dict[Fault, bool] = {}
    paired: set[str] = set()
    details = error.errors(include_url=False, include_input=False)
    for detail in details[:MAX_FAULTS]:
        place = _walk(detail["loc"], document, asked, missing=detail["type"] == "missing")
        segments, message = _message(detail, place)
        fault = Fault(join(root, *place.segments, *segments), message)
        if detail["type"] == "extra_forbidden" and (ours := _pair(place)):
            paired.add(join(root, *place.segments[:-1], ours))
        # For a wrong item, pydantic also reports that its list is too short.
        yields = place.branched or detail["type"] == "too_short"
        found[fault] = yields and found.get(fault, True)
    faults = [
        fault
        for fault, yields in found.items()
        if not (yields and _inner(fault, found)) and fault.path not in paired
    ]
    if len(details) > MAX_FAULTS:
        faults.append(Fault(root, f"and {len(details) - MAX_FAULTS} more errors"))
    return faults


def near(word: str, words: Iterable[str], count: int = 3) -> list[str]:
    """Return the words most similar to `word`, best first; case does not matter."""
    lower: dict[str, str] = {}
    for candidate in words:
        if len(candidate) <= _MAX_COMPARED:
            lower.setdefault(candidate.lower(), candidate)
    if len(word) > _MAX_COMPARED:
        return []
    return [lower[match] for match in difflib.get_close_matches(word.lower(), lower, n=count)]


def one_of(word: str, words: Sequence[str]) -> str:
    """Return `did you mean ...?` if some of `words` are similar, else a list of them."""
    close = meant(word, words) or near(word, words) or near(last(word), words)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    if len(words) <= _MAX_WORDS:
        return f"known: {', '.join(words)}"
    ends = ", ".join((*words[:_FIRST], "...", *words[-_LAST:]))
    model = model_by_name(word, words)
    return (f"{model}; " if model else "") + f"known: {ends} ({len(words)} in all)"


@dataclass(slots=True)
class _Place:
    """Place of an error in the caller's document, and the schema of that place."""

    segments: list[str | int]
    value: Any
    asked: Asked | None
    parent: Asked | None
    branched: bool = False
    siblings: Collection[Any] = ()


def _walk(
    loc: tuple[int | str, ...], document: Any, asked: Asked | None, *, missing: bool
) -> _Place:
    """Return the place that `loc` means, without the union tags that pydantic adds to it.

    On entering an object whose `type` equals the next element, that element is the tag of a union
    and is skipped, once. The tag of a JSON kind is skipped in the same way. An element that is
    neither a key nor an index of the value is a tag too. An index into an object means its nth key.
    """
    place = _Place([], document, asked and asked.chosen(document), None)
    tags: set[str] = set()
    for position, element in enumerate(loc):
        tag = _tag(place.value, element)
        if tag and tag not in tags:
            tags.add(tag)
            continue
        key = _key(place.value, element)
        if key is not None:
            place = _step(place, key, place.value[key])
            tags = set()
        elif missing and position == len(loc) - 1 and isinstance(place.value, Mapping):
            return _step(place, element, None)
        else:
            place.branched = True
    return place


def _tag(value: Any, element: int | str) -> str | None:
    """Return which tag of `value` this element of a `loc` may be, or None."""
    if isinstance(element, str) and _KIND_TAG.fullmatch(element):
        return "kind"
    return "type" if isinstance(value, Mapping) and value.get("type") == element else None


def _key(value: Any, element: int | str) -> int | str | None:
    """Return the key or index of `value` that this element of a `loc` names, or None."""
    if isinstance(value, Mapping):
        if isinstance(element, int):
            return list(value)[element] if element < len(value) else None
        if element in value:
            return element
        # pydantic writes each byte of a lone surrogate as U+FFFD.
        shown = {k.encode(errors="surrogatepass").decode(errors="replace"): k for k in value}
        return shown.get(element) if "\ufffd" in element else None
    indexed = isinstance(value, list | tuple) and isinstance(element, int)
    return element if indexed and int(element) < len(value) else None


def _step(place: _Place, key: int | str, value: Any) -> _Place:
    inner = place.asked and place.asked.at(key)
    siblings = place.value if isinstance(place.value, Mapping) else ()
    chosen = inner and inner.chosen(value)
    return _Place([*place.segments, key], value, chosen, place.asked, siblings=siblings)


def _message(detail: Mapping[str, Any], place: _Place) -> tuple[tuple[str | int, ...], str]:
    """Return the segments to append to the place's path, and the message."""
    kind, context = detail["type"], detail.get("ctx", {})
    asked = place.asked
    if kind == "missing" and not isinstance(place.value, Mapping | list | tuple):
        return (), f"missing; {asked.words() if asked else 'it is required'}"
    if kind == "extra_forbidden":
        return (), _unknown_argument(str(place.segments[-1]), place.parent)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return () if isinstance(place.value, str) else ("type",), _unknown_type(place)
    if kind == "less_than_equal":
        return (), f"expected at most {context['le']}, not {in_words(place.value)}"
    if kind == "finite_number":
        return (), f"expected a finite number, not {in_words(place.value)}"
    if kind in _PYDANTIC_TYPES and asked is not None and not _of_key(detail):
        return (), f"expected {asked.words()}, not {in_words(place.value)}{_hint(place)}"
    return tuple(context.get("at", ())), _plain_message(detail)


def _pair(place: _Place) -> str | None:
    """Return the required key that an unknown one stands for, if it is missing."""
    given = place.siblings
    required = place.parent.schema.get("required", ()) if place.parent else ()
    close = meant(str(place.segments[-1]), required)
    return next((key for key in close if key not in given), None)


def _unknown_argument(name: str, parent: Asked | None) -> str:
    allowed = parent.properties() if parent else []
    if (place := home(name, allowed)) is not None:
        return f"belongs in `{place}`: {place}.{name}"
    close = meant(name, allowed) or near(name, allowed)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    if not close and (elsewhere := argument_elsewhere(name, allowed)):
        hint = f"; {elsewhere}"
    return f"unknown argument{hint}" + (f"; allowed: {', '.join(allowed)}" if allowed else "")


def _unknown_type(place: _Place) -> str:
    known = place.asked.tags() if place.asked else []
    tag = place.value.get("type") if isinstance(place.value, Mapping) else place.value
    if isinstance(place.value, Mapping) and "type" not in place.value:
        if written := [key for key in ("class", "cls", "layer") if key in place.value]:
            return f"missing; write `type` instead of `{written[0]}`"
        if around := layers_alone(place.value, known):
            return f"missing; {around}"
        return f"missing; {one_of('', known)}" if known else "missing; it is required"
    if not isinstance(tag, str):
        return f"expected a string, not {in_words(tag)}"
    given = place.value if isinstance(place.value, Mapping) else {}
    key = place.segments[-1] if place.segments else ""
    hint = type_elsewhere(tag, known, key=key, given=given) or (known and one_of(tag, known))
    return f"unknown type {in_words(tag)}" + (f"; {hint}" if hint else "")


def _hint(place: _Place) -> str:
    """Return the next step after a text that is not among those expected, if it is known."""
    key, value = (place.segments or [""])[-1], place.value
    if key == "nonlinearity":
        return f"; PyTorch has no gain for {in_words(value)}: give `gain` a number"
    is_word = isinstance(value, str) and len(value) <= _MAX_COMPARED
    if is_word and (written := object_for(str(key), value)):
        return f"; write {written}"
    examples = place.asked.schema.get("examples", ()) if place.asked else ()
    example = next((each for each in examples if isinstance(each, Mapping)), None)
    return f"; for example {json.dumps(example)}" if example else ""


def _plain_message(detail: Mapping[str, Any]) -> str:
    cause = detail.get("ctx", {}).get("error")
    if cause is not None:
        return str(cause)
    message = str(detail["msg"]).removeprefix("Input ")
    first, rest = message[:1], message[1:]
    return (first.lower() if rest[:1].islower() else first) + rest


def _of_key(detail: Mapping[str, Any]) -> bool:
    return bool(detail["loc"]) and detail["loc"][-1] == "[key]"


def _inner(outer: Fault, faults: Iterable[Fault]) -> bool:
    starts = (f"{outer.path}.", f"{outer.path}[")
    return any(fault.path.startswith(starts) for fault in faults)


def _json_string(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub(r"[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", quoted)
