"""`values` by file: the tensor in a safetensors file, converted as numbers in the spec are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from seedpoint.models.dtypes import BY_NAME, DTYPES
from seedpoint.models.errors import SpecError
from seedpoint.models.files.blobs import NO_BLOBS, Blobs
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import normalized, parse_spec
from tests.support.blob_files import by_file, embedding, rows, stored
from tests.support.issued import issued

FLOATING = [dtype for dtype in DTYPES if dtype.is_floating]
NAMED = ("float32", "bfloat16", "float16", "float64", "float8_e4m3fn", "float8_e5m2")
MISSING = "ab" * 32


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def faults(document: Any, blobs: Blobs = NO_BLOBS) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        make_plan(parse_spec(document), blobs=blobs)
    return {fault.path: fault.message for fault in caught.value.faults}


def listed(shape: list[int], dtype: str, initializer: dict[str, Any]) -> dict[str, Any]:
    tensor = {"name": "t", "shape": shape, "dtype": dtype}
    return {
        "architecture": {"type": "tensors", "tensors": [tensor]},
        "init": {"rules": [{"match": {"name": "t"}, "initializer": initializer}]},
    }


# --- conversion ----------------------------------------------------------------------


@pytest.mark.parametrize("given", FLOATING, ids=str)
@pytest.mark.parametrize("dtype", NAMED)
def test_a_file_gives_what_the_same_numbers_in_the_spec_give(
    given: Any, dtype: str, tmp_path: Path
) -> None:
    values = rows(dtype=torch.float64).abs().add(1).to(given.torch)
    name, blobs = stored(tmp_path, {"emb.weight": values})
    numbers = {"type": "values", "values": values.to(torch.float64).tolist()}
    expected = issued(embedding(numbers, dtype=dtype))["weight"]
    found = issued(embedding(by_file(name), dtype=dtype), blobs)["weight"]
    assert found.dtype == BY_NAME[dtype].torch
    assert bits(found) == bits(expected)


@pytest.mark.parametrize("dtype", NAMED)
def test_every_pattern_of_a_dtype_stays_as_it_is_in_a_tensor_of_that_dtype(
    dtype: str, tmp_path: Path
) -> None:
    size = BY_NAME[dtype].itemsize
    patterns = torch.arange(1 << 16, dtype=torch.int32).view(torch.uint8).view(-1, 4)
    raw = torch.cat([patterns[:, :2]] * (size // 2), dim=1) if size > 1 else patterns[:256, :1]
    values = raw.contiguous().view(BY_NAME[dtype].torch).view(-1, 1)
    assert values.float().isnan().any()
    name, blobs = stored(tmp_path, {"emb.weight": values})
    spec = embedding(by_file(name), (len(values), 1), dtype=dtype)
    assert bits(issued(spec, blobs)["weight"]) == bits(values)


def test_a_nan_that_is_converted_becomes_the_one_of_its_dtype(tmp_path: Path) -> None:
    values = torch.tensor([[0x7FC1_2345, -1]], dtype=torch.int32).view(torch.float32)
    name, blobs = stored(tmp_path, {"emb.weight": values})
    found = issued(embedding(by_file(name), (1, 2), dtype="bfloat16"), blobs)["weight"]
    assert found.view(torch.int16).tolist() == [[0x7FC0, 0x7FC0]]


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        *((torch.int64, "I64"), (torch.uint8, "I64"), (torch.bool, "I16"), (torch.bool, "BOOL")),
        *((torch.uint16, "U32"), (torch.int32, "F64"), (torch.int8, "BF16"), (torch.bool, "F32")),
        *((torch.float64, "C64"), (torch.complex64, "C64"), (torch.bfloat16, "C64")),
    ],
    ids=str,
)
def test_other_dtypes_are_converted_where_every_value_fits(
    given: torch.dtype, dtype: str, tmp_path: Path
) -> None:
    values = torch.tensor([0, 1, 1, 0, 1], dtype=torch.int64).to(given)
    name, blobs = stored(tmp_path, {"t": values})
    found = issued(listed([5], dtype, by_file(name, "t")), blobs)["t"]
    assert bits(found) == bits(values.to(found.dtype))


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        *((torch.int64, "I32"), (torch.int8, "U8"), (torch.uint8, "BOOL"), (torch.uint64, "I64")),
        *((torch.float32, "I64"), (torch.int64, "F64"), (torch.complex64, "F32")),
    ],
    ids=str,
)
def test_dtypes_of_which_a_value_may_not_fit_are_refused(
    given: torch.dtype, dtype: str, tmp_path: Path
) -> None:
    name, blobs = stored(tmp_path, {"t": torch.zeros(5, dtype=given)})
    ((path, message),) = faults(listed([5], dtype, by_file(name, "t")), blobs).items()
    assert path == "init.rules.0.initializer.file.tensor"
    assert str(given).removeprefix("torch.") in message and "convert the file" in message


def test_a_complex_tensor_keeps_its_bits_and_takes_ranges(tmp_path: Path) -> None:
    values = torch.complex(torch.randn(4, 3), torch.randn(4, 3))
    name, blobs = stored(tmp_path, {"t": values})
    assert bits(issued(listed([4, 3], "C64", by_file(name, "t")), blobs)["t"]) == bits(values)


# --- wherever values work ------------------------------------------------------------


@pytest.mark.parametrize("generator", ["philox-v1", "torch", "numpy"])
def test_every_generator_takes_a_file(generator: str, tmp_path: Path) -> None:
    values = rows(dtype=torch.bfloat16)
    values.view(torch.int16)[0, 0] = 0x7FA5  # a NaN with a payload
    name, blobs = stored(tmp_path, {"emb.weight": values})
    for dtype in ("bfloat16", "float32", "float64"):
        spec = embedding(by_file(name), dtype=dtype, init={"generator": generator})
        found = issued(spec, blobs)["weight"]
        assert found.nan_to_num(99).equal(values.to(found.dtype).nan_to_num(99))
        if dtype == "bfloat16":
            assert bits(found) == bits(values)


def test_transforms_follow_the_file(tmp_path: Path) -> None:
    values = rows()
    name, blobs = stored(tmp_path, {"emb.weight": values})
    transforms = [
        {"type": "scale", "value": 0.5},
        {"type": "set", "index": ["1:3", "1:"], "value": 9},
        {"type": "zero_rows", "rows": "4:"},
    ]
    found = issued(embedding(by_file(name), transforms=transforms), blobs)["weight"]
    expected = values * 0.5
    expected[1:3, 1:] = 9
    expected[4:] = 0
    assert bits(found) == bits(expected)


def test_a_sum_adds_noise_to_a_file(tmp_path: Path) -> None:
    values = rows()
    name, blobs = stored(tmp_path, {"emb.weight": values})
    noise = {"type": "normal", "std": 0.01}
    both = {"type": "sum", "initializers": [by_file(name), noise]}
    found = issued(embedding(both), blobs)["weight"]
    assert found.equal(values + issued(embedding(noise))["weight"])


def test_a_copy_takes_a_file_transposed(tmp_path: Path) -> None:
    values = rows()
    name, blobs = stored(tmp_path, {"emb.weight": values})
    tensors = [{"name": "a", "shape": [6, 3]}, {"name": "b", "shape": [3, 6]}]
    rules = [
        {"match": {"name": "a"}, "initializer": by_file(name)},
        {"match": {"name": "b"}, "initializer": {"type": "copy", "of": "a", "transpose": True}},
    ]
    spec = {"architecture": {"type": "tensors", "tensors": tensors}, "init": {"rules": rules}}
    assert issued(spec, blobs)["b"].equal(values.T)


def test_captures_choose_the_tensor_of_the_file(tmp_path: Path) -> None:
    given = {f"h.{layer}.weight": torch.full((2, 2), float(layer)) for layer in range(3)}
    name, blobs = stored(tmp_path, given)
    tensors = [{"name": f"layers.{layer}.weight", "shape": [2, 2]} for layer in range(3)]
    rule = {
        "match": {"name": "layers.{layer}.weight"},
        "initializer": by_file(name, "h.{layer}.weight"),
    }
    spec = {"architecture": {"type": "tensors", "tensors": tensors}, "init": {"rules": [rule]}}
    found = issued(spec, blobs)
    assert [found[f"layers.{layer}.weight"][0, 0].item() for layer in range(3)] == [0, 1, 2]


# --- faults --------------------------------------------------------------------------


def test_a_blob_that_is_not_given_is_named_with_its_place() -> None:
    found = faults(embedding(by_file(MISSING)))
    assert found == {
        "init.rules.0.initializer.file.sha256": f"'weight': no blob {MISSING} is given"
    }


def test_a_tensor_that_the_file_lacks_is_answered_with_the_nearest(tmp_path: Path) -> None:
    given = {name: rows() for name in ("emb.weight", "head.weight", "norm.bias")}
    name, blobs = stored(tmp_path, given)
    ((path, message),) = faults(embedding(by_file(name, "emb.weigth")), blobs).items()
    assert path == "init.rules.0.initializer.file.tensor"
    assert "the blob has no tensor 'emb.weigth'; nearest of 3: 'emb.weight'" in message


def test_a_file_without_tensors_has_none_near(tmp_path: Path) -> None:
    name, blobs = stored(tmp_path, {})
    ((_, message),) = faults(embedding(by_file(name)), blobs).items()
    assert message == "'weight': the blob has no tensor 'emb.weight'; it has none"


def test_another_shape_is_answered_with_both(tmp_path: Path) -> None:
    name, blobs = stored(tmp_path, {"emb.weight": rows().T.contiguous()})
    ((path, message),) = faults(embedding(by_file(name)), blobs).items()
    assert path == "init.rules.0.initializer.file.tensor"
    assert message == (
        "'weight': 'emb.weight' in the blob has shape [3, 6]; this tensor's is [6, 3]"
    )


def test_a_part_names_its_own_place(tmp_path: Path) -> None:
    name, blobs = stored(tmp_path, {"emb.weight": rows()})
    splits = {"parts": [{"size": 2, "initializer": by_file(name)}, {"size": 4}]}
    found = faults(embedding({"type": "normal"}, splits=splits), blobs)
    assert list(found) == ["init.rules.0.splits.parts.0.initializer.file.tensor"]
    assert "[6, 3]" in str(found) and "[2, 3]" in str(found)


@pytest.mark.parametrize(
    ("given", "path", "said"),
    [
        ({}, "", "expected either values or file"),
        ({"values": [1], "file": {"sha256": MISSING, "tensor": "t"}}, "", "either values or file"),
        ({"file": {"sha256": "AB" * 32, "tensor": "t"}}, ".file.sha256", "lower-case hex"),
        ({"file": {"sha256": MISSING}}, ".file.tensor", "missing"),
        ({"file": MISSING}, ".file", "an object"),
        ({"values": [0.0] * ((1 << 20) + 1)}, ".values", "safetensors file"),
    ],
)
def test_a_wrong_form_is_answered_at_its_place(given: Any, path: str, said: str) -> None:
    found = faults(embedding({"type": "values", **given}))
    assert list(found) == [f"init.rules.0.initializer{path}"]
    assert said in next(iter(found.values()))


# --- the id ----------------------------------------------------------------------------


def test_the_plan_holds_where_the_elements_are(tmp_path: Path) -> None:
    name, blobs = stored(tmp_path, {"a": torch.zeros(5), "emb.weight": rows(dtype=torch.float64)})
    plan = make_plan(parse_spec(embedding(by_file(name))), blobs=blobs).plan
    (program,) = plan.document["programs"]
    assert program == {
        "type": "blob",
        "sha256": name,
        "offset": blobs.tensors(name)["emb.weight"].offset,
        "dtype": "float64",
        "shape": [6, 3],
    }
    assert type(plan).from_record(plan.record).tensors == plan.tensors


def test_the_id_of_numbers_in_the_spec_is_what_it_was() -> None:
    spec = parse_spec(embedding({"type": "values", "values": rows().tolist()}))
    (rule,) = normalized(spec)["init"]["rules"]
    assert rule["initializer"].keys() == {"type", "values"}
