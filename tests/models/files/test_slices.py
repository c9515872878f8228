"""NumPy is the oracle: a slice of an array of element numbers says which elements it has."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from seedpoint.models.files.slices import Slice, parse_slice


def elements(found: Slice, start: int = 0, stop: int | None = None) -> list[int]:
    runs = list(found.runs(start, stop))
    assert all(first < last for first, last in runs)
    return [element for run in runs for element in range(*run)]


def index(member: str) -> int | slice:
    if ":" not in member:
        return int(member)
    return slice(*(int(part) if part else None for part in member.split(":")))


ends = st.integers(-9, 9).map(str) | st.just("")
steps = st.sampled_from(["", ":", ":1", ":2", ":3", ":7"])
spans = st.builds("{}:{}{}".format, ends, ends, steps)


@st.composite
def sliced(draw: st.DrawFn) -> tuple[tuple[int, ...], list[str]]:
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    members = []
    for size in shape[: draw(st.integers(0, len(shape)))]:
        indices = st.integers(-size, size - 1).map(str) if size else st.nothing()
        members.append(draw(st.just(":") | spans | indices))
    return tuple(shape), members


@given(sliced(), st.data())
def test_a_slice_has_the_elements_that_numpy_takes(
    case: tuple[tuple[int, ...], list[str]], draw: st.DataObject
) -> None:
    shape, members = case
    expected = np.arange(math.prod(shape)).reshape(shape)[tuple(map(index, members))]
    found = parse_slice(",".join(members), shape)
    assert (found.shape, found.numel) == (expected.shape, expected.size)
    assert elements(found) == expected.ravel().tolist()

    start = draw.draw(st.integers(0, found.numel))
    stop = draw.draw(st.integers(start, found.numel))
    assert elements(found, start, stop) == expected.ravel()[start:stop].tolist()


@pytest.mark.parametrize(
    ("text", "shape", "runs"),
    [
        ("", (4, 5), [(0, 20)]),
        ("", (), [(0, 1)]),
        (":,:", (4, 5), [(0, 20)]),
        ("1:3", (4, 5), [(5, 15)]),
        ("1:3,:", (4, 5), [(5, 15)]),
        ("2", (4, 5), [(10, 15)]),
        ("-1,-1", (4, 5), [(19, 20)]),
        (" 1:3 , 0:2 ", (4, 5), [(5, 7), (10, 12)]),
        (":,1:3", (2, 5, 3), [(3, 9), (18, 24)]),
        ("::2,:", (4, 5), [(0, 5), (10, 15)]),
        ("0,::2", (4, 5), [(0, 1), (2, 3), (4, 5)]),
        (":,0:1,:", (2, 1, 3), [(0, 6)]),
        ("3:1", (4, 5), []),
        ("-99:99", (4, 5), [(0, 20)]),
        (":", (0, 5), []),
    ],
)
def test_runs_are_as_long_as_they_can_be(
    text: str, shape: tuple[int, ...], runs: list[tuple[int, int]]
) -> None:
    assert list(parse_slice(text, shape).runs()) == runs


def test_a_slice_deep_in_a_huge_tensor_is_reached_at_once() -> None:
    rows = parse_slice("1:-1,5:9", (10**12, 10**6))
    assert rows.shape == (10**12 - 2, 4)
    last = rows.numel
    row = (10**12 - 2) * 10**6
    assert list(rows.runs(last - 6, last)) == [
        (row - 10**6 + 7, row - 10**6 + 9),
        (row + 5, row + 9),
    ]
    assert next(rows.runs()) == (10**6 + 5, 10**6 + 9)


def test_more_members_than_axes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^slice has 3 members for 2 axes; .* shape is \[4, 5\]$"):
        parse_slice("0,1,2", (4, 5))
    with pytest.raises(ValueError, match="1 members for 0 axes"):
        parse_slice(":", ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4", "axis 0: index 4 is outside the axis; it has -4 to 3"),
        (":,-6", "axis 1: index -6 is outside the axis; it has -5 to 4"),
        (":,:,0", "axis 2: index 0 is outside the axis; it has no elements"),
    ],
)
def test_an_index_outside_its_axis_is_refused_with_what_it_has(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_slice(text, (4, 5, 0))


@pytest.mark.parametrize(
    "member",
    [
        *(
            "::0",
            "::00",
            "::-1",
            "::::",
            "1:2:3:4",
            "+1",
            "1.0",
            "a",
            "...",
            "None",
            "-",
            "-:",
            "1 2",
        ),
        *("0 :2", "[0]", "0x1", "1_0", "\u0661", "1\n", "", "9" * 19, "9" * 5000, ":" + "9" * 19),
    ],
)
def test_what_is_no_basic_slice_is_refused_with_examples(member: str) -> None:
    with pytest.raises(ValueError, match=r"^slice axis 1: .* is neither .* such as 5, 0:128, -3: "):
        parse_slice(f"0,{member}", (4, 5))


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 1), (0, 21)])
def test_elements_outside_the_slice_are_refused_at_once(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match=r"not within the slice; it has \[0, 20\)"):
        parse_slice("", (4, 5)).runs(start, stop)
