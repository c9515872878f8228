"""Descriptions of a JSON Schema in words, for the messages of faults."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MAX_SHOWN = 60  # characters of a caller's value in a message
_MAX_LISTED = 8  # names that a message lists before it counts the rest
_MAX_KEYS = 8  # optional keys of an object that a message lists
_MAX_SAFE_INTEGER = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Asked:
    """JSON Schema (2020-12, as pydantic writes it) of one place in a document.

    `schema` applies to that place; `root` is the whole schema, which holds `$defs`.
    """

    schema: Mapping[str, Any]
    root: Mapping[str, Any]

    def chosen(self, value: Any) -> Asked:
        """Return this place after `value` has selected its branch of every union, if it can."""
        schema = self._followed(self.schema)
        while branches := _branches(schema):
            branch = self._branch(schema, branches, value)
            if branch is None:
                break
            schema = self._followed(branch)
        return Asked(schema, self.root)

    def at(self, key: int | str) -> Asked | None:
        """Return the schema of a key or index of this place, None if it is unknown."""
        schema = self.schema
        if isinstance(key, int):
            inner = schema.get("items")
        else:
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
        return Asked(inner, self.root) if isinstance(inner, Mapping) else None

    def properties(self) -> list[str]:
        """Return the keys that an object here may have, the required ones first."""
        names = self.schema.get("properties", {})
        required = set(self.schema.get("required", ()))
        return sorted(names, key=lambda name: name not in required)

    def tags(self) -> list[str]:
        """Return the known values of `type` for a union on `type`, in the union's order."""
        schema = self._followed(self.schema)
        mapping = schema.get("discriminator", {}).get("mapping", {})
        places = {branch.get("$ref"): at for at, branch in enumerate(_branches(schema))}
        return sorted(mapping, key=lambda tag: places.get(mapping[tag], len(places)))

    def words(self, *, keys: bool = True) -> str:
        """Return a description: `an integer of at least 0`, `one of 'zeros', 'reflect'`, ...

        With `keys`, the keys of an object are named.
        """
        return self._words(self.schema, keys)

    def _words(self, schema: Mapping[str, Any], keys: bool) -> str:
        schema = self._followed(schema)
        if "const" in schema:
            return in_words(schema["const"])
        if "enum" in schema:
            return "one of " + ", ".join(map(in_words, schema["enum"]))
        if "discriminator" in schema:
            return "an object with a `type`"
        if branches := _branches(schema):
            return self._any_of(branches, keys)
        kind = schema.get("type", "")
        if kind == "array":
            return self._list_words(schema, keys)
        if kind == "object" and keys:
            return "an object" + _keys(schema)
        return _NOUNS.get(kind, "a value") + _bounds(schema)

    def _any_of(self, branches: list[Mapping[str, Any]], keys: bool) -> str:
        """Return a description of a union: `an integer or a list of 2 of them`."""
        words: list[str] = []
        for branch in sorted(map(self._followed, branches), key=lambda b: b.get("type") == "array"):
            items = branch.get("items")
            repeats = isinstance(items, Mapping) and items and self._words(items, keys) in words
            alone = self._words(branch, keys)
            words.append(f"a list{_count(branch)} of them" if repeats else alone)
        return " or ".join(dict.fromkeys(words))

    def _list_words(self, schema: Mapping[str, Any], keys: bool) -> str:
        items = schema.get("items")
        each = f", each {self._words(items, keys)}" if isinstance(items, Mapping) and items else ""
        return f"a list{_count(schema)}{each}"

    def _followed(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self.root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        return schema

    def _branch(
        self, schema: Mapping[str, Any], branches: list[Mapping[str, Any]], value: Any
    ) -> Mapping[str, Any] | None:
        if "discriminator" in schema:
            tag = value.get("type") if isinstance(value, Mapping) else None
            ref = schema["discriminator"]["mapping"].get(tag) if isinstance(tag, str) else None
            return {"$ref": ref} if ref else None
        # Only a list or an object selects the single branch of its kind; other values select none.
        kind = _kind(value)
        fitting = [branch for branch in branches if kind in self._kinds(branch)]
        return fitting[0] if len(fitting) == 1 and kind in ("array", "object") else None

    def _kinds(self, schema: Mapping[str, Any]) -> set[str]:
        schema = self._followed(schema)
        if "discriminator" in schema:
            return {"object"}
        if branches := _branches(schema):
            return set().union(*map(self._kinds, branches))
        return {schema.get("type", "")}


def listed(names: Sequence[str]) -> str:
    """Return the first names, quoted, and the number of the others."""
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(repr(name) for name in names[:_MAX_LISTED]) + more


def ends(names: Sequence[str]) -> str:
    """Return the first and last names, quoted, and the number of those between them.

    The last tensors of a model are those of its head.
    """
    half = _MAX_LISTED // 2
    if len(names) <= _MAX_LISTED:
        return listed(names)
    between = f"... {len(names) - 2 * half} more ..."
    return ", ".join((*map(repr, names[:half]), between, *map(repr, names[-half:])))


def in_words(value: Any) -> str:
    """Return a caller's value for a message: as JSON, shortened; containers by size only."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return "a number beyond 2^128"
    if isinstance(value, str):
        cut = value if len(value) <= _MAX_SHOWN else value[:_MAX_SHOWN] + "..."
        return json.dumps(cut, ensure_ascii=not _encodable(cut))
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return type(value).__name__


_NOUNS = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "string": "a string",
    "null": "null",
    "object": "an object",
}


def _keys(schema: Mapping[str, Any]) -> str:
    """Return the keys of an object in words: ` with `parts` and optional `axis`, `repeat``."""
    required = schema.get("required", ())
    optional = [name for name in schema.get("properties", {}) if name not in required]
    shown = [f"`{name}`" for name in optional[:_MAX_KEYS]] + ["..."] * (len(optional) > _MAX_KEYS)
    clauses = [", ".join(f"`{name}`" for name in required)] if required else []
    clauses += [f"optional {', '.join(shown)}"] if shown else []
    return f" with {' and '.join(clauses)}" if clauses else ""


def _bounds(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    words = "" if least in (None, -_MAX_SAFE_INTEGER) else f" of at least {least}"
    if most not in (None, _MAX_SAFE_INTEGER):
        words += f"{' and' if words else ' of'} at most {most}"
    if "exclusiveMinimum" in schema:
        words += f" above {schema['exclusiveMinimum']}"
    if "exclusiveMaximum" in schema:
        words += f" below {schema['exclusiveMaximum']}"
    return words + (" that is not empty" if schema.get("minLength") else "")


def _count(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    if least == most:
        return f" of {most}"
    bounds = [f"at least {least}"] if least else []
    bounds += [f"at most {most}"] if most else []
    return " of " + " and ".join(bounds) if bounds else ""


def _branches(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(schema.get("oneOf") or schema.get("anyOf") or ())


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "object"
    return "array" if isinstance(value, list | tuple) else "scalar"


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
