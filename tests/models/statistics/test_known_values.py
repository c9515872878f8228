"""Tensors whose elements are known: buffers of integers, given values, identities."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch

from seedpoint.models import presets
from seedpoint.models.dtypes import BY_NAME, DTYPES
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.program import (
    Blob,
    Constant,
    Eye,
    Literal,
    Materialized,
    Program,
    SetElement,
    ZeroRows,
)
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.statistics.checkpoint import CheckpointStatistics
from tests.support.blob_files import stored
from tests.support.seen import seen

WHOLE = [d for d in DTYPES if not d.is_floating]


def tensor(program, shape, dtype):
    return PlanTensor("b", shape, BY_NAME[dtype], "buffer", "", program)


@pytest.mark.parametrize("dtype", WHOLE, ids=str)
def test_a_constant_that_is_not_floating_is_compared(dtype):
    planned = tensor(Program(Constant(True)), (70_000,), dtype.name)
    values = torch.ones(70_000, dtype=dtype.torch)
    found = seen(planned, values)
    assert (found["pass"], found["criteria"]) == (True, {"values": 0.0})
    assert found["mean"] is None
    values[66_000] = 0
    found = seen(planned, values)
    assert (found["pass"], found["criteria"]) == (False, {"values": None})


def test_rows_and_elements_that_are_set_are_known_too():
    program = Program(Constant(5), (ZeroRows((1,)), SetElement((2, 3), 9)))
    values = torch.full((4, 5), 5)
    values[1], values[2, 3] = 0, 9
    assert seen(tensor(program, (4, 5), "int64"), values)["pass"] is True
    values[2, 3] = 5
    assert seen(tensor(program, (4, 5), "int64"), values)["pass"] is False


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16", "int32"])
def test_given_values_are_compared_as_their_tensor_holds_them(dtype):
    given = torch.tensor([0.1, -3.0, 1e5, math.inf, math.nan][: 3 if dtype == "int32" else 5])
    blob = given.numpy().tobytes()
    digest = hashlib.sha256(blob).hexdigest()
    planned = tensor(Program(Literal(digest, "float32")), (len(given),), dtype)
    values = given.to(planned.dtype.torch)
    assert seen(planned, values, {digest: blob})["pass"] is True
    assert seen(planned, values)["pass"] is None  # the blob is not there
    values[1] = 3
    assert seen(planned, values, {digest: blob})["pass"] is False


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float8_e5m2", "int64"])
@pytest.mark.parametrize("given", [torch.float64, torch.bfloat16, torch.uint8])
def test_the_elements_of_a_blob_are_compared_as_their_tensor_holds_them(dtype, given, tmp_path):
    target = BY_NAME[dtype]
    if given.is_floating_point != target.is_floating:
        pytest.skip("not every value fits")
    file = (torch.arange(70_000) % 200).to(given).view(700, 100)
    name, blobs = stored(tmp_path, {"other": torch.ones(3), "t": file})
    offset = blobs.tensors(name)["t"].offset
    source = Blob(name, offset, str(given).removeprefix("torch."), (700, 100))
    planned = tensor(Program(source), (700, 100), dtype)
    values = file.to(target.torch)
    found = seen(planned, values, blob_files=blobs)
    assert (found["pass"], found["criteria"]) == (True, {"values": 0.0})
    assert seen(planned, values)["pass"] is None  # the blob is not there
    kept = PlanTensor("b", (700, 100), target, "buffer", "", Program(Materialized(planned.program)))
    assert seen(kept, values, blob_files=blobs)["pass"] is None  # it is not needed any more
    values[699, 3] = 9
    assert seen(planned, values, blob_files=blobs)["pass"] is False


@pytest.mark.parametrize(
    ("dtype", "patterns"),
    [
        ("float8_e4m3fn", [0x1D, 0xC4, 0x7E, 0x7F]),  # 0.1015625, -3, 448, NaN
        ("float8_e5m2", [0x2E, 0xC2, 0x7C, 0x7F]),  # 0.09375, -3, infinity, NaN
        ("float8_e4m3fnuz", [0x25, 0xCC, 0x80, 0x80]),  # 0.1015625, -3, NaN, NaN
        ("float8_e8m0fnu", [0x7C, 0x81, 0x90, 0xFF]),  # 2^-3, 2^2, 2^17, NaN
    ],
)
@pytest.mark.parametrize("given", ["float32", "float64"])
def test_given_values_are_compared_as_the_stream_converts_them(dtype, patterns, given):
    values = torch.tensor([0.1, -3.0, 1e5, math.nan], dtype=BY_NAME[given].torch)
    blob = values.numpy().tobytes()
    digest = hashlib.sha256(blob).hexdigest()
    planned = tensor(Program(Literal(digest, given)), (4,), dtype)
    converted = torch.tensor(patterns, dtype=torch.uint8)
    assert seen(planned, converted.view(planned.dtype.torch), {digest: blob})["pass"] is True
    converted[1] += 1
    assert seen(planned, converted.view(planned.dtype.torch), {digest: blob})["pass"] is False


def test_an_identity_is_one_only_on_its_diagonal():
    planned = tensor(Program(Eye()), (5, 7), "bfloat16")
    values = torch.eye(5, 7).bfloat16()
    assert seen(planned, values)["pass"] is True
    assert seen(planned, values.flip(0))["pass"] is False


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_what_overflowed_shows_its_finite_extremes(dtype):
    planned = tensor(Program(Constant(1.0)), (4,), dtype)
    found = seen(planned, torch.tensor([math.inf, -2.5, 8.0, math.nan]).to(planned.dtype.torch))
    assert (found["min"], found["max"], found["pass"]) == (None, None, False)
    assert (found["finite_min"], found["finite_max"]) == (-2.5, 8.0)
    assert found["criteria"] == {"finite": None}


def test_every_tensor_of_a_network_with_integer_buffers_is_judged():
    """The counts of batches that BatchNorm has seen among them."""
    architecture = presets.get("resnet-tiny").architecture
    planned = make_plan(parse_spec({"architecture": architecture}))
    gathered = CheckpointStatistics(planned.plan, planned.blobs)
    evaluator = Evaluator(planned.plan, planned.blobs)
    for number, each in enumerate(planned.plan.tensors):
        observer, out = gathered.observers[each.name], np.empty(each.nbytes, np.uint8)
        evaluator.fill(number, 0, each.numel, out, observer)
        assert gathered.tensor(each)["pass"] is True, each.name
    assert any(not each.dtype.is_floating for each in planned.plan.tensors)
