"""`Content-Disposition` for names that may hold anything."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.service.http.content_disposition import MOST_BYTES, content_disposition

FIELD = re.compile(r"""attachment; filename="([^"\\%\x00-\x1f\x7f-\uffff]*)"(?:; (.*))?""")
EXTENDED = re.compile(r"filename\*=UTF-8''((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})*)")


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("model", 'attachment; filename="model.bin"'),
        ("h.0.mlp c_fc", 'attachment; filename="h.0.mlp c_fc.bin"'),
        ("a/b\\c", 'attachment; filename="a_b_c.bin"'),
        (
            "a\r\nX-Evil: 1",
            "attachment; filename=\"a__X-Evil_ 1.bin\"; filename*=UTF-8''a__X-Evil%3A%201.bin",
        ),
        ('"', "attachment; filename=\"_.bin\"; filename*=UTF-8''%22.bin"),
        ("ü", "attachment; filename=\"_.bin\"; filename*=UTF-8''%C3%BC.bin"),
        ("50%", "attachment; filename=\"50_.bin\"; filename*=UTF-8''50%25.bin"),
        ("", 'attachment; filename=".bin"'),
    ],
)
def test_a_name_is_given_plainly_or_twice(name: str, field: str) -> None:
    assert content_disposition("attachment", name, ".bin") == field


@given(st.text())
def test_any_name_makes_a_field_of_the_grammar_with_its_suffix(name: str) -> None:
    match = FIELD.fullmatch(content_disposition("attachment", name, ".safetensors"))
    assert match, name
    shown = match[1]
    if match[2]:
        extended = EXTENDED.fullmatch(match[2])
        assert extended, match[2]
        shown = unquote(extended[1], errors="strict")
    assert shown.endswith(".safetensors")
    assert len(shown.encode()) <= MOST_BYTES + len(".safetensors")
    assert "/" not in shown and "\\" not in shown
