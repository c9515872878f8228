"""Samples: a terabyte in seconds, the same blocks again, and blocks from everywhere."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given, settings

from seedpoint.models.files.layout import File, layout
from seedpoint.models.verify.comparison import Block, Means, work
from seedpoint.models.verify.findings import Sample
from seedpoint.service.local.checkpoint_files import open_checkpoint
from tests.support.verifying import check, forge, make, rule, spec_of, tensors, write


def terabyte(kind: str, path: Path) -> Path:
    """A file of 1.2 TB, all but its header a hole: zeros."""
    listed = tensors(a=("F32", 10**11), b=("F32", 2 * 10**11))
    plan = make(spec_of(listed, rule("**", kind), max_shard_size="2TB"))
    return forge(json.loads(plan.canonical), path)


def test_a_sample_of_a_terabyte_takes_seconds(tmp_path: Path) -> None:
    right = check(terabyte("zeros", tmp_path / "zeros"), Sample(100, 0))
    assert right.verdict == "sample agrees"
    assert right.total_bytes == 1_200_000_000_000 and 0 < right.checked_bytes <= 100 * 4 * 65536
    wrong = check(terabyte("normal", tmp_path / "normal"), Sample(100, 0))
    assert [difference.tensor for difference in wrong.differences] == ["a", "b"]
    assert all(d.element is not None and d.element % 65536 == 0 for d in wrong.differences)


def blocks(sample: Sample, path: Path) -> list[Block]:
    with ExitStack() as stack:
        opened = open_checkpoint(path, stack)
        found = work(opened.files, opened.plan, Means({}, {}), sample, 1)
        return [block for block in found if isinstance(block, Block)]


def test_a_sample_is_repeatable_and_spread_evenly_over_the_bytes(tmp_path: Path) -> None:
    path = terabyte("zeros", tmp_path / "zeros")
    found = blocks(Sample(300, 7), path)
    assert found == blocks(Sample(300, 7), path)
    assert found != blocks(Sample(300, 8), path)
    places = [
        (block.entry.start_byte + 4 * block.start) * 300 // 1_200_000_000_000 for block in found
    ]
    assert sum(place in (n - 1, n) for n, place in enumerate(places)) == len(places) == 300
    assert all(block.start % 65536 == 0 and block.stop <= 2 * 10**11 for block in found)


def test_a_sample_of_as_many_blocks_as_there_are_is_everything(tmp_path: Path) -> None:
    listed = tensors(a=("F32", 70_000), b=("F32", 9, 9))
    path = write(spec_of(listed, rule("**", "normal")), tmp_path)
    assert check(path, Sample(2, 0)).verdict == "sample agrees"
    assert check(path, Sample(3, 0)).verdict == "verified"
    assert check(path, Sample(10**12, 0)).verdict == "verified"


@settings(max_examples=50)
@given(
    sizes=st.lists(st.integers(0, 200_000), max_size=5),
    count=st.integers(1, 12),
    seed=st.integers(0, 3),
)
def test_a_sample_has_blocks_that_are_there_in_order_and_no_more_than_asked(
    sizes: list[int], count: int, seed: int
) -> None:
    plan = make(spec_of(tensors(**{f"t{n}": ("F16", s) for n, s in enumerate(sizes)}),
                        *([rule("**", "zeros")] if sizes else [])))  # fmt: skip
    files: list[File] = list(layout(plan).files.values())
    every = list(work(files, plan, Means({}, {}), None, 65536))
    found = list(work(files, plan, Means({}, {}), Sample(count, seed), 65536))
    assert found == [block for block in every if block in found]
    assert found == every or 0 < len(found) <= count
