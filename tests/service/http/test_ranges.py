"""RFC 9110, sections 13 and 14; where a rule is not obvious its section is named."""

from __future__ import annotations

import re
import time

import hypothesis.strategies as st
import pytest
from hypothesis import given

from seedpoint.service.http.ranges import (
    MAX_ASKED,
    MAX_RANGES,
    NotModified,
    Outcome,
    PreconditionFailed,
    RangeOutcome,
    Ranges,
    Unsatisfiable,
    Whole,
    content_range,
    evaluate,
    if_range_holds,
    matches,
    parse_range,
    unsatisfied_range,
)

ETAG = '"abc"'
HUGE = "9" * 20_000


def ranges(*spans: tuple[int, int]) -> Ranges:
    return Ranges(spans)


# --- Range ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "outcome"),
    [
        # the examples of section 14.1.2, for 10000 bytes
        ("bytes=0-499", ranges((0, 500))),
        ("bytes=500-999", ranges((500, 1000))),
        ("bytes=-500", ranges((9500, 10000))),
        ("bytes=9500-", ranges((9500, 10000))),
        ("bytes=0-0,-1", ranges((0, 1), (9999, 10000))),
        ("bytes= 0-999, 4500-5499, -1000", ranges((0, 1000), (4500, 5500), (9000, 10000))),
        ("bytes=500-600,601-999", ranges((500, 601), (601, 1000))),
        ("bytes=500-700,601-999", ranges((500, 1000))),  # coalesced (section 15.3.7.2)
        # clamped ends
        ("bytes=0-", ranges((0, 10000))),
        ("bytes=9999-9999", ranges((9999, 10000))),
        ("bytes=9999-10000", ranges((9999, 10000))),
        ("bytes=0-99999999", ranges((0, 10000))),
        ("bytes=-99999999", ranges((0, 10000))),
        (f"bytes=5-{HUGE}", ranges((5, 10000))),
        (f"bytes=-{HUGE}", ranges((0, 10000))),
        (f"bytes={'0' * 20_000}7-{'0' * 20_000}8", ranges((7, 9))),
        # at or past the end, or nothing
        ("bytes=10000-", Unsatisfiable()),
        ("bytes=10000-10001", Unsatisfiable()),
        (f"bytes={HUGE}-", Unsatisfiable()),
        (f"bytes={HUGE}-{HUGE}", Unsatisfiable()),
        ("bytes=-0", Unsatisfiable()),
        ("bytes=-000", Unsatisfiable()),
        ("bytes=10000-,-0", Unsatisfiable()),
        ("bytes=10000-,0-1", ranges((0, 2))),
        # the unit in any case, empty list members (section 5.6.1.2)
        ("BYTES=0-1", ranges((0, 2))),
        ("bytes=,,0-1 ,\t, 4-5,", ranges((0, 2), (4, 6))),
        (" bytes=0-1\t", ranges((0, 2))),
        # the order asked is kept
        ("bytes=5-6,0-1", ranges((5, 7), (0, 2))),
        # overlapping: coalesced, and then all in ascending order
        ("bytes=0-5,5-6", ranges((0, 7))),
        ("bytes=5-6,0-5", ranges((0, 7))),
        ("bytes=-1,9000-", ranges((9000, 10000))),
        ("bytes=0-0,0-0", ranges((0, 1))),
        ("bytes=90-99,5-9,0-6,20-20", ranges((0, 10), (20, 21), (90, 100))),
        ("bytes=0-99,10-19,50-59,30-39", ranges((0, 100))),
        (f"bytes={'0-,' * 1000}", ranges((0, 10000))),
        # no field, other units
        (None, Whole()),
        ("", Whole()),
        ("items=0-1", Whole()),
        ("bytes", Whole()),
        ("byte=0-1", Whole()),
        ("bytesx=0-1", Whole()),
        # an end before its start makes all of it invalid (section 14.1.1)
        ("bytes=5-4", Whole()),
        ("bytes=0-1,5-4", Whole()),
        (f"bytes={HUGE}-0", Whole()),
        (f"bytes={HUGE}1-{HUGE}0", Whole()),
        # syntax errors
        ("bytes=", Whole()),
        ("bytes=,", Whole()),
        ("bytes=-", Whole()),
        ("bytes=1", Whole()),
        ("bytes=0-1-2", Whole()),
        ("bytes=--1", Whole()),
        ("bytes=+1-2", Whole()),
        ("bytes=0x1-2", Whole()),
        ("bytes=1_0-20", Whole()),
        ("bytes=1.0-2", Whole()),
        ("bytes=a-b", Whole()),
        ("bytes=0 - 1", Whole()),
        ("bytes=0- 1", Whole()),
        ("bytes =0-1", Whole()),
        ("bytes: 0-1", Whole()),
        ("bytes=0-1;2-3", Whole()),
        ("bytes=0-1 2-3", Whole()),
        ("bytes=0-1,x", Whole()),
        ("bytes=0-1, bytes=2-3", Whole()),
        ("bytes=0-1\n", Whole()),
        ("bytes=\x0b0-1", Whole()),
        ("bytes=\xb2-\xb3", Whole()),
        ("bytes=\u0661-\u0662", Whole()),
    ],
)
def test_a_range_field_asks_for(header: str | None, outcome: RangeOutcome) -> None:
    assert parse_range(header, 10_000) == outcome


@pytest.mark.parametrize(
    ("header", "outcome"),
    [
        ("bytes=0-", Unsatisfiable()),
        ("bytes=0-0", Unsatisfiable()),
        ("bytes=-0", Unsatisfiable()),
        ("bytes=-1", Whole()),
        ("bytes=0-,-1", Whole()),
        (None, Whole()),
    ],
)
def test_nothing_has_no_range_that_could_be_named(
    header: str | None, outcome: RangeOutcome
) -> None:
    assert parse_range(header, 0) == outcome


def test_more_ranges_than_allowed_are_the_whole() -> None:
    assert parse_range("bytes=0-0,2-2,4-4", 10, max_ranges=3) == ranges((0, 1), (2, 3), (4, 5))
    assert parse_range("bytes=0-0,2-2,4-4", 10, max_ranges=2) == Whole()


def test_ranges_are_counted_when_only_those_to_serve_are_left() -> None:
    assert parse_range("bytes=0-0,50-,60-", 10, max_ranges=2) == ranges((0, 1))
    assert parse_range("bytes=0-2,2-4,4-6", 10, max_ranges=2) == ranges((0, 7))
    many = ",".join(f"{2 * place}-{2 * place}" for place in range(MAX_RANGES))
    served = tuple((2 * place, 2 * place + 1) for place in range(MAX_RANGES))
    assert parse_range(f"bytes={many}", 1000) == Ranges(served)
    assert parse_range(f"bytes={many},900-901", 1000) == Whole()


def test_a_list_longer_than_is_looked_at_is_the_whole() -> None:
    assert parse_range("bytes=" + ",".join(["0-0"] * MAX_ASKED), 10) == ranges((0, 1))
    assert parse_range("bytes=" + ",".join(["0-0"] * (MAX_ASKED + 1)), 10) == Whole()


SPECIFIER = re.compile(
    r"(?i:bytes)=[ \t]*(?:(?:\d+-\d*|-\d+)?(?:[ \t]*,[ \t]*(?:\d+-\d*|-\d+)?)*)", re.ASCII
)
numbers = st.integers(0, 12).map(str) | st.just("")
specs = st.builds("{}{}-{}".format, st.sampled_from(["", "00"]), numbers, numbers)
separators = st.sampled_from([",", ", ", ",,", "\t,", ";", " "])
headers = st.builds(
    lambda unit, pairs: unit + "".join(spec + separator for spec, separator in pairs),
    st.sampled_from(["bytes=", "Bytes=", "bytes=,", "bytes= ", "items=", ""]),
    st.lists(st.tuples(specs, separators), max_size=4),
) | st.text(max_size=20).map("bytes=".__add__)


def naive(header: str, size: int) -> RangeOutcome:
    """By the sets of bytes that each member of a well-formed specifier names."""
    header = header.strip(" \t")
    members = re.findall(r"(\d*)-(\d*)", header)
    if not SPECIFIER.fullmatch(header) or not members:
        return Whole()
    if any(first and last and int(last) < int(first) for first, last in members):
        return Whole()
    named = [
        [b for b in range(size) if int(first) <= b and (not last or b <= int(last))]
        if first
        else list(range(size))[-int(last) :] * (int(last) > 0)
        for first, last in members
    ]
    named = [found for found in named if found]
    if not named:
        suffix = any(not first and int(last) for first, last in members)
        return Whole() if suffix else Unsatisfiable()
    covered = sorted({b for found in named for b in found})
    if len(covered) == sum(map(len, named)):
        return Ranges(tuple((found[0], found[-1] + 1) for found in named))
    # Side by side is not yet overlapping: such ranges stay two.
    inside = {b for found in named for b in found[1:]}
    starts = [b for b in covered if b not in inside]
    ends = [max(b for b in covered if b < stop) + 1 for stop in [*starts[1:], size]]
    return Ranges(tuple(zip(starts, ends, strict=True)))


@given(headers, st.integers(0, 11))
def test_a_range_field_asks_for_what_a_naive_reading_finds(header: str, size: int) -> None:
    assert parse_range(header, size) == naive(header, size)


@pytest.mark.parametrize(
    "header",
    [
        "bytes=" + "0-0," * 1_000_000,
        "bytes=" + ",".join(f"{2 * place}-{2 * place}" for place in range(1_000_000)),
        "bytes=" + " \t" * 200_000,
        "bytes=0-1" + " " * 400_000 + "x",
    ],
    ids=["empty-members", "distinct", "blanks", "blanks-inside"],
)
def test_a_long_range_field_takes_linear_time(header: str) -> None:
    started = time.process_time()
    assert parse_range(header, 10) == Whole()
    assert time.process_time() - started < 1


def test_content_range_has_an_inclusive_end() -> None:
    assert content_range(0, 500, 1234) == "bytes 0-499/1234"
    assert content_range(1233, 1234, 1234) == "bytes 1233-1233/1234"
    assert unsatisfied_range(1234) == "bytes */1234"


# --- entity tags ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "weakly", "strongly"),
    [
        ('"abc"', True, True),
        ('W/"abc"', True, False),
        ('"x", "abc"', True, True),
        ('"x",W/"abc"', True, False),
        (' ,, "x" ,\t"abc" ,', True, True),
        ('"a,b", "abc"', True, True),
        ('"\xe9!#~", "abc"', True, True),
        ("*", True, True),
        (" * ", True, True),
        ('"ABC"', False, False),
        ('"x"', False, False),
        ('"x,"abc""', False, False),
        ("", False, False),
        (",", False, False),
        # not lists of entity tags, so they name none
        ("abc", False, False),
        ('"abc', False, False),
        ('"abc" "x"', False, False),
        ('"abc";"x"', False, False),
        ('w/"abc"', False, False),
        ('W/ "abc"', False, False),
        ('"a b", "abc"', False, False),
        ('"abc", *', False, False),
        ('"abc"\n', False, False),
        ("'abc'", False, False),
    ],
)
def test_a_list_of_entity_tags_names(header: str, weakly: bool, strongly: bool) -> None:
    assert matches(header, ETAG, weak=True) is weakly
    assert matches(header, ETAG, weak=False) is strongly


def test_a_weak_tag_of_ours_is_never_strongly_equal() -> None:
    assert matches('W/"abc"', 'W/"abc"', weak=True)
    assert not matches('W/"abc"', 'W/"abc"', weak=False)
    assert not if_range_holds('W/"abc"', 'W/"abc"')


@pytest.mark.parametrize(
    "header", [" " * 400_000 + "x", '"' * 400_000, '"a",' * 100_000, '"a" ' * 9]
)
def test_a_long_list_of_entity_tags_takes_linear_time(header: str) -> None:
    started = time.process_time()
    assert not matches(header, ETAG, weak=True)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("header", "holds"),
    [
        (None, True),
        ('"abc"', True),
        (' "abc" ', True),
        ('W/"abc"', False),
        ('"x"', False),
        ('"abc", "x"', False),
        ("*", False),
        ("abc", False),
        ("", False),
        ("Wed, 21 Oct 2026 07:28:00 GMT", False),
    ],
)
def test_if_range_needs_an_equal_strong_tag(header: str | None, holds: bool) -> None:
    assert if_range_holds(header, ETAG) is holds


# --- the order of preconditions (section 13.2.2) -------------------------------

RANGE = ("Range", "bytes=0-1")
SAME, OTHER = '"abc"', '"other"'
PARTIAL = ranges((0, 2))


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ([], Whole()),
        ([RANGE], PARTIAL),
        ([("range", "bytes=9-")], Unsatisfiable()),
        ([("If-None-Match", SAME)], NotModified()),
        ([("If-None-Match", f"W/{SAME}"), RANGE], NotModified()),
        ([("If-None-Match", "*"), ("Range", "bytes=9-")], NotModified()),
        ([("If-None-Match", OTHER), RANGE], PARTIAL),
        ([("If-Match", SAME), RANGE], PARTIAL),
        ([("If-Match", "*")], Whole()),
        ([("If-Match", OTHER)], PreconditionFailed()),
        ([("If-Match", f"W/{SAME}")], PreconditionFailed()),
        ([("If-Match", "")], PreconditionFailed()),
        # If-Match is asked first, whatever If-None-Match says
        ([("If-None-Match", SAME), ("If-Match", OTHER)], PreconditionFailed()),
        ([("If-None-Match", SAME), ("If-Match", SAME)], NotModified()),
        # If-Range is asked last, and a Range it disables cannot be unsatisfiable
        ([("If-Range", SAME), RANGE], PARTIAL),
        ([("If-Range", OTHER), RANGE], Whole()),
        ([("If-Range", OTHER), ("Range", "bytes=9-")], Whole()),
        ([("If-Range", SAME), ("Range", "bytes=9-")], Unsatisfiable()),
        ([("If-Range", OTHER)], Whole()),
        ([("If-Range", OTHER), ("If-None-Match", SAME), RANGE], NotModified()),
        # there is no modification date to compare with
        ([("If-Modified-Since", "Wed, 21 Oct 2099 07:28:00 GMT"), RANGE], PARTIAL),
        ([("If-Unmodified-Since", "Wed, 21 Oct 1999 07:28:00 GMT"), RANGE], PARTIAL),
        ([("If-Range", "Wed, 21 Oct 2099 07:28:00 GMT"), RANGE], Whole()),
        # repeated fields are one list (section 5.3); Range and If-Range are no lists of fields
        ([("If-None-Match", OTHER), ("if-none-match", SAME)], NotModified()),
        ([RANGE, ("Range", "bytes=3-4")], Whole()),
        ([("If-Range", SAME), ("If-Range", SAME), RANGE], Whole()),
    ],
)
def test_a_get_is_answered_with(fields: list[tuple[str, str]], outcome: Outcome) -> None:
    assert evaluate("GET", fields, etag=ETAG, size=5) == outcome


@pytest.mark.parametrize(
    ("method", "fields", "outcome"),
    [
        ("HEAD", [RANGE], Whole()),
        ("HEAD", [("Range", "bytes=9-")], Whole()),
        ("HEAD", [("If-None-Match", SAME), RANGE], NotModified()),
        ("HEAD", [("If-Match", OTHER)], PreconditionFailed()),
        ("POST", [RANGE], Whole()),
        ("DELETE", [("If-None-Match", SAME)], PreconditionFailed()),
        ("DELETE", [("If-Match", SAME)], Whole()),
    ],
)
def test_range_belongs_to_get_and_not_modified_to_safe_methods(
    method: str, fields: list[tuple[str, str]], outcome: Outcome
) -> None:
    assert evaluate(method, fields, etag=ETAG, size=5) == outcome


def test_the_limit_on_ranges_reaches_the_parser() -> None:
    fields = [("Range", "bytes=0-0,2-2")]
    assert evaluate("GET", fields, etag=ETAG, size=5) == ranges((0, 1), (2, 3))
    assert evaluate("GET", fields, etag=ETAG, size=5, max_ranges=1) == Whole()
