"""Facts beside a tensor's shape that the effect of a rule depends on."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from seedpoint.models.initializers.positional import CALLED
from seedpoint.models.rules.resolve import Subject
from seedpoint.models.rules.rule import Rule
from seedpoint.models.validation import expressions

_FIELD = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Names that a rule's expressions may hold, and siblings whose fans it takes.

    Tensors for which these are equal can share what the rule resolves to.
    """

    names: frozenset[str]
    siblings: frozenset[str]

    @classmethod
    def of(cls, rule: Rule) -> Dependencies:
        """Return the dependencies of `rule`; `names` are a superset."""
        texts = set(_texts((rule.initializer, rule.transforms, rule.splits)))
        parts = () if rule.splits is None else rule.splits.parts
        fans = {fan for fan in (rule.fan, *(part.fan for part in parts)) if fan is not None}
        return cls(
            frozenset(name for text in texts for name in _names(text)),
            frozenset(fan.of for fan in fans if fan.of is not None),
        )

    def values(self, subject: Subject) -> Hashable:
        """Return the values that these facts have for a tensor."""
        around = subject.around
        used = sorted(self.names & subject.numbers.keys())
        return (
            around.layout,
            around.groups,
            tuple((name, subject.numbers[name]) for name in used),
            tuple(around.shape_of(sibling) for sibling in sorted(self.siblings)),
        )


def _names(text: str) -> frozenset[str]:
    try:
        return expressions.names(text, CALLED)
    except expressions.ExpressionError:  # it may be a name with fields to fill in
        return frozenset(_FIELD.findall(text))


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a part of a spec; numbers of `values` stay in plain lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, BaseModel | tuple):
        for item in value if isinstance(value, tuple) else vars(value).values():
            yield from _texts(item)
