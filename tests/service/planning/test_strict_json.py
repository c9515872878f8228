"""Bodies that are not JSON, and the notation that they have instead."""

from __future__ import annotations

import pytest

from seedpoint.service.errors import MalformedBody
from seedpoint.service.planning.strict_json import parse_json


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("architecture:\n  type: Linear\n", "this is YAML"),
        ("{'a': 1}", "this is a Python literal"),
        ('{"a": (3, 3)}', "this is a Python literal"),
        ("dict(a=1)", "this is a Python literal"),
        ("{a: 1}", "keys in double quotes"),
        ('{"a": 1, b: 2}', "keys in double quotes"),
        ("{\u201ca\u201d: 1}", "straight quotation marks"),
        ('{"a": -inf}', 'the string "Infinity" or "-Infinity"'),
        (" ", "the body is empty"),
        ('{"a": True}', "this is a Python literal"),
        ('{"a": 1,}', "JSON has no comma before a closing bracket"),
        ('{"a": [1,]}', "JSON has no comma before a closing bracket"),
        ('{"a": 1 // one\n}', "JSON has no comments"),
        ("# a spec\n{}", "JSON has no comments"),
    ],
)
def test_another_notation_is_named(body: str, hint: str) -> None:
    with pytest.raises(MalformedBody, match=hint):
        parse_json(body.encode())


def test_another_error_has_only_its_place() -> None:
    with pytest.raises(MalformedBody, match=r"delimiter at line 1, column 6$"):
        parse_json(b'{"a" 1}')
