"""Elements of a blob stay the same, bit for bit, in parts and in any range, and are read alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from tests.support.blob_files import Watched, by_file, embedding, rows, stored
from tests.support.issued import evaluated, issued

PAYLOAD = {1: 0x7F, 2: 0x7FA5, 4: 0x7FA1_2345, 8: 0x7FF1_2345_6789_ABCD}
INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
DTYPES = ("float32", "bfloat16", "float16", "float64", "float8_e5m2", "float8_e4m3fn")


def with_payload(dtype: str, shape: tuple[int, int]) -> torch.Tensor:
    """Return values of `dtype`, one of them a NaN with a payload."""
    values = rows(*shape, dtype=getattr(torch, dtype))
    patterns = values.view(INTEGERS[values.itemsize])
    patterns[0, 0] = PAYLOAD[values.itemsize]
    assert values.float().isnan().any()
    return values


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(INTEGERS[tensor.itemsize])


def in_parts(name: str, axis: int, sizes: list[int], filled: int) -> dict[str, Any]:
    """Return the rule's members of a split whose part number `filled` is from a blob."""
    parts: list[dict[str, Any]] = [{"size": size} for size in sizes]
    parts[filled]["initializer"] = by_file(name)
    return {"splits": {"axis": axis, "parts": parts}}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("drawn", [True, False], ids=["drawn", "constant"])
def test_rows_of_a_file_are_its_bits_and_the_others_what_they_were(
    dtype: str, drawn: bool, tmp_path: Path
) -> None:
    values = with_payload(dtype, (4, 3))
    name, blobs = stored(tmp_path, {"emb.weight": values})
    rest = {"type": "normal", "std": 0.1} if drawn else {"type": "constant", "value": 0.3}
    splits = in_parts(name, 0, [5, 4, 2], 1)
    found = issued(embedding(rest, (11, 3), dtype=dtype, **splits), blobs)["weight"]
    assert bits(found[5:9]).equal(bits(values))
    plain = {"splits": {"parts": [{"size": size} for size in (5, 4, 2)]}}
    expected = issued(embedding(rest, (11, 3), dtype=dtype, **plain))["weight"]
    assert bits(found[:5]).equal(bits(expected[:5])) and bits(found[9:]).equal(bits(expected[9:]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_of_a_file_are_its_bits(dtype: str, tmp_path: Path) -> None:
    values = with_payload(dtype, (50, 7))
    name, blobs = stored(tmp_path, {"emb.weight": values})
    splits = in_parts(name, 1, [3, 7, 1], 1)
    found = issued(embedding({"type": "normal"}, (50, 11), dtype=dtype, **splits), blobs)["weight"]
    assert bits(found[:, 3:10]).equal(bits(values))
    assert not found.float()[:, :3].isnan().any() and not found.float()[:, 10:].isnan().any()


def test_a_float64_file_beside_draws_is_not_rounded_to_float32(tmp_path: Path) -> None:
    values = torch.randn(4, 3, dtype=torch.float64)
    name, blobs = stored(tmp_path, {"emb.weight": values})
    splits = in_parts(name, 0, [4, 2], 0)
    spec = embedding({"type": "normal"}, dtype="float64", **splits)
    assert issued(spec, blobs)["weight"][:4].equal(values)


def test_repeated_parts_each_take_the_file(tmp_path: Path) -> None:
    values = with_payload("bfloat16", (2, 3))
    name, blobs = stored(tmp_path, {"emb.weight": values})
    splits = in_parts(name, 0, [2, 1], 0)
    splits["splits"]["repeat"] = 2
    found = issued(embedding({"type": "zeros"}, dtype="bfloat16", **splits), blobs)["weight"]
    assert bits(found).view(2, 3, 3)[:, :2].equal(bits(values).expand(2, 2, 3))
    assert found[2].count_nonzero() == 0


def test_parts_beside_the_own_init_keep_it(tmp_path: Path) -> None:
    values = with_payload("float32", (2, 3))
    name, blobs = stored(tmp_path, {"emb.weight": values})
    splits = in_parts(name, 0, [2, 4], 0)
    found = issued(embedding({"type": "own"}, **splits), blobs)["weight"]
    own = issued({"architecture": embedding({"type": "own"})["architecture"]})["weight"]
    assert bits(found[:2]).equal(bits(values))
    assert found[2:].equal(own[2:])


def test_a_part_with_transforms_is_computed(tmp_path: Path) -> None:
    values = rows(2, 3)
    name, blobs = stored(tmp_path, {"emb.weight": values})
    splits = in_parts(name, 0, [2, 4], 0)
    splits["splits"]["parts"][0]["transforms"] = [{"type": "scale", "value": 2}]
    found = issued(embedding({"type": "zeros"}, **splits), blobs)["weight"]
    assert found[:2].equal(values * 2)


# --- ranges ----------------------------------------------------------------------------


SHAPE = (700, 301)  # four blocks of 65,536 elements


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("blobs")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64", "float8_e5m2"])
@pytest.mark.parametrize("source", ["float32", "bfloat16", "float64"])
@settings(max_examples=20)
@given(data=st.data())
def test_any_range_of_bytes_is_that_of_the_file(
    folder: Path, dtype: str, source: str, data: st.DataObject
) -> None:
    values = rows(*SHAPE, dtype=getattr(torch, source))
    name, blobs = stored(folder, {"emb.weight": values, "other": torch.ones(3)})
    planned = make_plan(parse_spec(embedding(by_file(name), SHAPE, dtype=dtype)), blobs=blobs)
    file = layout(planned.plan).files["model.safetensors"]
    evaluator = Evaluator(planned.plan, planned.blobs, blob_files=blobs)
    whole = np.empty(file.size_bytes, np.uint8)
    evaluator.read(file, 0, file.size_bytes, whole)
    start = data.draw(st.integers(0, file.size_bytes))
    stop = data.draw(st.integers(start, min(file.size_bytes, start + 300_000)))
    out = np.empty(stop - start + 1, np.uint8)[1:]  # not aligned
    evaluator.read(file, start, stop, out)
    assert out.tobytes() == whole[start:stop].tobytes()
    expected = evaluated(planned, blobs)["weight"].view(torch.uint8).numpy().tobytes()
    assert whole[len(file.head) :].tobytes() == expected


def test_only_the_range_is_read(tmp_path: Path) -> None:
    values = rows(*SHAPE, dtype=torch.bfloat16)
    name, blobs = stored(tmp_path, {"a": torch.zeros(1000), "emb.weight": values})
    offset = blobs.tensors(name)["emb.weight"].offset
    for dtype, itemsize in (("bfloat16", 2), ("float32", 4)):
        planned = make_plan(parse_spec(embedding(by_file(name), SHAPE, dtype=dtype)), blobs=blobs)
        watched = Watched(blobs)
        out = np.empty(40 * itemsize, np.uint8)
        Evaluator(planned.plan, blob_files=watched).fill(0, 1000, 1040, out)
        assert watched.reads == [(offset + 2 * 1000, 80)]


def test_a_range_of_a_part_reads_that_part_alone(tmp_path: Path) -> None:
    values = rows(100, 3)
    name, blobs = stored(tmp_path, {"emb.weight": values})
    splits = in_parts(name, 0, [100, 900], 0)
    spec = embedding({"type": "normal"}, (1000, 3), **splits)
    planned = make_plan(parse_spec(spec), blobs=blobs)
    watched = Watched(blobs)
    evaluator = Evaluator(planned.plan, blob_files=watched)
    evaluator.fill(0, 600, 2700, np.empty(2100 * 4, np.uint8))
    assert watched.reads == []
    evaluator.fill(0, 30, 90, np.empty(60 * 4, np.uint8))
    assert sum(count for _, count in watched.reads) <= 4 * 60 + 8 * 12  # whole rows


def test_an_empty_tensor_reads_nothing(tmp_path: Path) -> None:
    name, blobs = stored(tmp_path, {"t": torch.zeros(0, 3)})
    tensors = [{"name": "t", "shape": [0, 3]}]
    rule = {"match": {"name": "t"}, "initializer": by_file(name, "t")}
    spec = {"architecture": {"type": "tensors", "tensors": tensors}, "init": {"rules": [rule]}}
    watched = Watched(blobs)
    planned = make_plan(parse_spec(spec), blobs=watched)
    assert evaluated(planned, watched)["t"].shape == (0, 3)
    assert watched.reads == []
