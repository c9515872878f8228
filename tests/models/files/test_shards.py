from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from seedpoint.models.files.shards import parse_size, shard_name, split


@pytest.mark.parametrize(
    ("sizes", "shards"),
    [
        (
            [6, 6, 2, 6, 2, 2],
            [[0], [1, 2], [3, 4, 5]],
        ),  # the example in huggingface_hub's docstring
        ([2, 12, 2], [[1], [0, 2]]),  # too large for any: a shard of its own, closed at once
        ([10, 1, 9, 0], [[0], [1, 2, 3]]),
        ([11, 12], [[0], [1]]),
        ([0, 0], [[0, 1]]),
        ([], [[]]),
    ],
)
def test_shards_of_ten_worked_by_hand(sizes: list[int], shards: list[list[int]]) -> None:
    assert split(sizes, 10) == shards


def naive_split(sizes: list[int], limit: int) -> list[list[int]]:
    """The shards by when each is closed: at its own tensor, or at the one that did not fit."""
    closed = {place: [place] for place, size in enumerate(sizes) if size > limit}
    small = [place for place, size in enumerate(sizes) if size <= limit]
    while small:
        fits = max(k for k in range(1, len(small) + 1) if sum(sizes[p] for p in small[:k]) <= limit)
        group, small = small[:fits], small[fits:]
        closed[small[0] if small else len(sizes)] = group
    return [closed[at] for at in sorted(closed)] or [[]]


@given(st.lists(st.integers(0, 15), max_size=12), st.integers(1, 12))
def test_shards_are_those_of_a_naive_split(sizes: list[int], limit: int) -> None:
    assert split(sizes, limit) == naive_split(sizes, limit)


def test_no_limit_is_one_shard() -> None:
    assert split([5, 10**15], None) == [[0, 1]]


def test_shards_count_from_one_with_five_digits_or_more() -> None:
    assert shard_name(0, 1) == "model.safetensors"
    assert shard_name(0, 2) == "model-00001-of-00002.safetensors"
    assert shard_name(123456, 123457) == "model-123457-of-123457.safetensors"


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("50GB", 50_000_000_000),
        ("5 mb", 5_000_000),
        ("1.5TB", 1_500_000_000_000),
        ("0.0015KB", 1),
        ("2GiB", 2 * 1024**3),
        (" 7B ", 7),
        ("123", 123),
        (50_000_000_000, 50_000_000_000),
        ("123456789012345678.123456789012345678TB", 123456789012345678123456789012),
    ],
)
def test_a_size_is_so_many_bytes(text: str | int, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "GB", "5XB", "5 G B", "-5GB", "1e9", "\u0665GB", "1.GB", "9" * 5000]
)
def test_what_is_no_size_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size; sizes are written as '50GB'"):
        parse_size(text)


@pytest.mark.parametrize("text", ["0", "0GB", "0.9B", 0])
def test_a_size_below_one_byte_is_refused(text: str | int) -> None:
    with pytest.raises(ValueError, match="less than one byte"):
        parse_size(text)
