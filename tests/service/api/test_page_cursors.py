"""Cursors of pages."""

from __future__ import annotations

import pytest

from seedpoint.service.api.page_cursors import decode, encode
from seedpoint.service.errors import InvalidParameter
from seedpoint.service.storage.checkpoint_store import Issued


@pytest.mark.parametrize("cursor", ["x", "é", "MTIz", "====", "OjpY", "A" * 1000])
def test_a_cursor_that_was_never_given_out_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidParameter):
        decode(cursor)


def test_a_cursor_is_where_it_was() -> None:
    last = Issued(123456789, "ab" * 32)
    assert decode(encode(last)) == last


def test_a_cursor_of_version_0_1_is_still_valid() -> None:
    cursor = (
        "MTIzNDU2Nzg5OmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFi"
        "YWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWJhYmFiYWI="
    )
    assert decode(cursor) == Issued(123456789, "ab" * 32)
