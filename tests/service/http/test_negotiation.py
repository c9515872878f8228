"""`Accept`, `Prefer` and `Content-Type` as their RFCs read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.service.errors import NotAcceptable, UnsupportedMediaType
from seedpoint.service.http.negotiation import (
    JSON,
    OCTETS,
    choose,
    patience,
    preferences,
    require_json,
    require_json_body,
    wants_sha256,
)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/octet-stream", OCTETS),
        ("APPLICATION/OCTET-STREAM", OCTETS),
        ("application/json;q=0.5, application/octet-stream", OCTETS),
        ("application/octet-stream;q=0.5, application/json;q=0.6", JSON),
        ("application/octet-stream;q=0.5, */*;q=0.1", OCTETS),
        ("application/json;q=0, */*", OCTETS),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        ("application/json;q=0.2, application/*;q=0.9", OCTETS),
        (" , application/octet-stream ; q=1.0 ,", OCTETS),
        ("nonsense, application/octet-stream", OCTETS),
    ],
)
def test_the_offer_liked_best_is_chosen(accept: str | None, chosen: str) -> None:
    assert choose(accept, (JSON, OCTETS)) == chosen


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "*/*;q=0", "text/*", "application/json;q=nan"]
)
def test_no_acceptable_offer_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="application/octet-stream"):
        choose(accept, (JSON, OCTETS))


@given(st.text())
def test_no_accept_header_is_an_error_of_ours(accept: str) -> None:
    try:
        assert choose(accept, (JSON, OCTETS)) in (JSON, OCTETS)
    except NotAcceptable:
        pass


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/vnd.seedpoint+json",
    ],
)
def test_json_in_utf8_is_read(content_type: str) -> None:
    require_json({"content-type": content_type})
    require_json_body(content_type, b"[]")


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/json;charset=latin1"]
)
def test_anything_else_is_refused_with_what_would_be_right(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaType, match="or -d @spec"):
        require_json({} if content_type is None else {"content-type": content_type})


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=utf-8", FORM.upper()])
def test_the_type_that_curl_sends_by_default_is_read_if_the_body_is_json(
    content_type: str,
) -> None:
    require_json({"content-type": content_type})
    require_json_body(content_type, b' \n{"architecture": {}}')
    for body in (b"architecture=Linear", b"", b"[]"):
        with pytest.raises(UnsupportedMediaType, match="-d @spec"):
            require_json_body(content_type, body)


def test_a_form_that_a_page_makes_a_browser_send_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        require_json({"content-type": FORM, "origin": "https://elsewhere.example"})


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], {}),
        (["respond-async"], {"respond-async": ""}),
        (["return=minimal"], {"return": "minimal"}),
        (['Return="Minimal"; x=y, respond-async'], {"return": "minimal", "respond-async": ""}),
        (["return=minimal", "return=representation"], {"return": "minimal"}),
        ([", ,wait = 10"], {"wait": "10"}),
        (['a="x, respond-async; y", wait=1'], {"a": "x, respond-async", "wait": "1"}),
    ],
)
def test_preferences_are_read_by_name(headers: list[str], found: dict[str, str]) -> None:
    assert preferences(headers) == found


@pytest.mark.parametrize(
    ("prefer", "seconds", "applied"),
    [
        ({}, 5.0, []),
        ({"respond-async": ""}, 0.0, ["respond-async"]),
        ({"wait": "10"}, 10.0, ["wait=10"]),
        ({"wait": "0"}, 0.0, ["wait=0"]),
        ({"respond-async": "", "wait": "07"}, 7.0, ["respond-async", "wait=7"]),
        ({"wait": "-1"}, 5.0, []),
        ({"wait": "1e3"}, 5.0, []),
        ({"wait": "9999999999"}, 5.0, []),
    ],
)
def test_an_answer_waits_as_long_as_is_preferred(
    prefer: dict[str, str], seconds: float, applied: list[str]
) -> None:
    assert patience(prefer, 5.0) == (seconds, applied)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ([], False),
        (["sha-256=1"], True),
        (["sha-512=9 , sha-256=10"], True),
        (["sha-512=9", "sha-256=3"], True),
        (["sha-256=5, sha-256=0"], False),
        (["sha-256"], False),
        (["sha-256=11"], False),
        (["SHA-256=1"], False),
    ],
)
def test_a_digest_is_wanted_with_a_weight_above_zero(fields: list[str], wanted: bool) -> None:
    assert wants_sha256(fields) is wanted


@given(st.lists(st.text()))
def test_no_header_of_preferences_is_an_error_of_ours(fields: list[str]) -> None:
    patience(preferences(fields), 1.0)
    wants_sha256(fields)
