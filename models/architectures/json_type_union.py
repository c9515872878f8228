"""Unions in which the JSON kind of a value (number, string, list, object) selects the branch.

A plain pydantic union tries every branch and reports the errors of all of them. Here the value's
kind selects one branch, so a wrong value has one fault, at its own place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import Discriminator, Tag

Kind = Literal["null", "scalar", "string", "list", "object"]

# Tags that pydantic adds to an error's `loc`; `models.validation.faults` removes them.
TAGS: dict[Kind, str] = {
    "null": "(null)",
    "scalar": "(scalar)",
    "string": "(string)",
    "list": "(list)",
    "object": "(object)",
}


def kind_of(value: Any) -> Kind:
    """Return the JSON kind of `value`; integers, numbers and booleans are all `scalar`."""
    if isinstance(value, list | tuple):
        return "list"
    if isinstance(value, str):
        return "string"
    if value is None:
        return "null"
    return "object" if isinstance(value, Mapping) else "scalar"


def chooser(first: Kind, *others: Kind) -> Callable[[Any], str]:
    """Return a function from a value to the tag of its kind; other kinds get the tag of `first`."""
    kinds = {first, *others}

    def choose(value: Any) -> str:
        kind = kind_of(value)
        return TAGS[kind if kind in kinds else first]

    return choose


def either(alternatives: Mapping[Kind, Any]) -> Any:
    """Return the type of values of these JSON kinds, each kind with its own type."""
    kinds = [kind for kind in alternatives if kind != "null"]
    if len(kinds) == 1:
        only = alternatives[kinds[0]]
        return Optional[only] if "null" in alternatives else only  # noqa: UP045
    branches = tuple(Annotated[alternatives[kind], Tag(TAGS[kind])] for kind in alternatives)
    return Annotated[Union[branches], Discriminator(chooser(*kinds, *alternatives))]  # noqa: UP007


LIST_OR_OBJECT = Discriminator(chooser("list", "object"))
LIST = Tag(TAGS["list"])
OBJECT = Tag(TAGS["object"])
