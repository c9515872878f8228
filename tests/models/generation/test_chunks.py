"""Chunks of files: cut at blocks of tensors, and read and observed in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.files.layout import File, layout
from seedpoint.models.generation.chunks import BLOCK_BYTES, Observed, cuts
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.statistics.checkpoint import BLOCK_ELEMENTS, CheckpointStatistics


def tensors(*listed: tuple[str, list[int], str]) -> dict[str, Any]:
    """A spec of named tensors with shapes and dtypes."""
    rules = [
        {"match": {"name": "i*"}, "initializer": {"type": "constant", "val": 3}, "optional": True},
        {"match": {}, "initializer": {"type": "normal"}},
    ]
    found = [{"name": n, "shape": shape, "dtype": dtype} for n, shape, dtype in listed]
    return {"architecture": {"type": "tensors", "tensors": found}, "init": {"rules": rules}}


MIXED = tensors(
    ("a", [3], "bfloat16"),
    ("b", [2 * BLOCK_ELEMENTS + 77], "float32"),
    ("c", [BLOCK_ELEMENTS + 1], "float64"),
    ("empty", [0, 4], "float32"),
    ("int", [100_000], "int64"),
    ("half", [300, 700], "float16"),
    ("eighth", [70_001], "float8_e4m3fn"),
    ("scalar", [], "float32"),
)
TIED = {
    "architecture": {
        "type": "Sequential",
        "layers": [
            {"name": "z", "type": "Linear", "in_features": 300, "out_features": 300},
            {"name": "a", "type": "Ref", "ref": "z"},
        ],
    },
    "ties": "each",
}


def planned(spec: dict[str, Any]) -> tuple[Evaluator, dict[str, File]]:
    made = make_plan(parse_spec(spec))
    return Evaluator(made.plan, made.blobs), dict(layout(made.plan).files)


EVALUATOR, FILES = planned(MIXED)
FILE = FILES["model.safetensors"]
WHOLE = np.empty(FILE.size_bytes, np.uint8)
EVALUATOR.read(FILE, 0, FILE.size_bytes, WHOLE)


def test_the_largest_block_is_of_the_widest_floating_dtype() -> None:
    widest = max(dtype.itemsize for dtype in BY_NAME.values())
    assert widest * BLOCK_ELEMENTS == BLOCK_BYTES


@given(st.data(), st.integers(1, 3 << 20))
def test_cuts_are_the_range_in_order_and_at_blocks(data: st.DataObject, nbytes: int) -> None:
    start = data.draw(st.integers(0, FILE.size_bytes))
    stop = data.draw(st.integers(start, FILE.size_bytes))
    found = list(cuts(FILE, EVALUATOR.plan.tensors, start, stop, nbytes))
    assert [first for first, _ in found] == [start, *(last for _, last in found[:-1])][: len(found)]
    assert (found[-1][1] if found else start) == stop
    for first, last in found:
        assert 0 < last - first <= max(nbytes, 64, BLOCK_BYTES)
    for entry in FILE.entries:
        block = BLOCK_ELEMENTS * EVALUATOR.plan.tensors[entry.tensor].dtype.itemsize
        for _, last in found[:-1]:
            if entry.start_byte < last < entry.stop_byte:
                assert (last - entry.start_byte) % block == 0


def test_few_cuts_are_much_shorter_than_asked() -> None:
    long = tensors(("w", [1 << 24], "float32"))
    evaluator, files = planned(long)
    (file,) = files.values()
    sizes = [b - a for a, b in cuts(file, evaluator.plan.tensors, 0, file.size_bytes, 1 << 21)]
    assert all(size == 1 << 21 for size in sizes[1:-1])


def observed(
    evaluator: Evaluator, file: File, nbytes: int, statistics: CheckpointStatistics
) -> bytes:
    watching, found = Observed(evaluator, statistics), []
    ranges = list(cuts(file, evaluator.plan.tensors, 0, file.size_bytes, nbytes))
    for first, last in reversed(ranges):  # Any order will do.
        out = np.empty(last - first, np.uint8)
        watching.read(file, first, last, out)
        found.append(out.tobytes())
    return b"".join(reversed(found))


def reference(evaluator: Evaluator) -> dict[str, Any]:
    statistics = CheckpointStatistics(evaluator.plan)
    for index, tensor in enumerate(evaluator.plan.tensors):
        out = np.empty(tensor.nbytes, np.uint8)
        evaluator.fill(index, 0, tensor.numel, out, statistics.observers.get(tensor.name))
    return statistics.document()


EXPECTED = reference(EVALUATOR)


@pytest.mark.parametrize("nbytes", [1, 4096, 100_000, BLOCK_BYTES, 1 << 20, 1 << 30])
def test_one_pass_gives_the_files_bytes_and_the_statistics(nbytes: int) -> None:
    statistics = CheckpointStatistics(EVALUATOR.plan)
    assert observed(EVALUATOR, FILE, nbytes, statistics) == WHOLE.tobytes()
    assert statistics.document() == EXPECTED


def test_a_copy_under_an_alias_is_read_and_not_observed_again() -> None:
    evaluator, files = planned(TIED)
    (file,) = files.values()
    assert len(file.entries) == 4
    whole = np.empty(file.size_bytes, np.uint8)
    evaluator.read(file, 0, file.size_bytes, whole)
    statistics = CheckpointStatistics(evaluator.plan)
    assert observed(evaluator, file, 1 << 17, statistics) == whole.tobytes()
    assert statistics.document() == reference(evaluator)


def test_shards_together_are_one_pass() -> None:
    evaluator, files = planned(MIXED | {"max_shard_size": 700_000})
    assert len(files) > 2
    statistics = CheckpointStatistics(evaluator.plan)
    for file in files.values():
        observed(evaluator, file, 1 << 20, statistics)
    assert statistics.document() == EXPECTED
