"""Tensors of four bits: elements in a spec and a file, pairs in PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import deserialize, safe_open
from safetensors.torch import load_file

from seedpoint import Checkpoint
from seedpoint.models.errors import SpecError
from seedpoint.models.generation.device_draws import ReferenceDraws
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.planning.sequential import platform
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.statistics.checkpoint import CheckpointStatistics
from seedpoint.models.stream import float4
from tests.support.verifying import check

FILE = "model.safetensors"
NORMAL = {"type": "normal", "std": 1.5}
RULES: dict[str, dict[str, Any]] = {
    "drawn": {"initializer": NORMAL},
    "large": {"initializer": {"type": "uniform", "a": -6, "b": 6}},
    "split": {
        "initializer": NORMAL,
        "splits": {"axis": 1, "parts": [{"size": 3}, {"size": 5, "initializer": {"type": "ones"}}]},
    },
    "given": {"initializer": {"type": "values", "values": [0.25, 0.75, -1.75, 6, 7, -0.1, 0, 3]}},
    "eye": {"initializer": {"type": "eye"}},
    "orthogonal": {"initializer": {"type": "orthogonal", "gain": 5}},
    "transformed": {
        "initializer": NORMAL,
        "transforms": [{"type": "set", "index": [1, 3], "value": 4}],
    },
}
SHAPES = {
    "drawn": [30, 64],
    "large": [300, 1024],
    "split": [5, 8],
    "given": [2, 4],
    "eye": [6, 10],
    "orthogonal": [8, 8],
    "transformed": [4, 6],
    "empty": [3, 0],
    "own": [2, 2],
}


def spec(dtype: str = "float4_e2m1fn_x2", **more: Any) -> dict[str, Any]:
    listed = [{"name": name, "shape": shape, "dtype": dtype} for name, shape in SHAPES.items()]
    rules = [{"match": {"name": name}, **rule} for name, rule in RULES.items()]
    bias = {"name": "bias", "shape": [3], "dtype": "bfloat16"}
    return {
        "architecture": {"type": "tensors", "tensors": [*listed, bias]},
        "init": {"seed": 3, "rules": [*rules, {"match": {}, "initializer": {"type": "zeros"}}]},
        **more,
    }


def planned(document: dict[str, Any]) -> Planned:
    return make_plan(parse_spec(document), platform=platform())


@pytest.fixture(scope="module")
def issued() -> Checkpoint:
    return Checkpoint.from_spec(spec())


@pytest.fixture(scope="module")
def path(issued: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return issued.write(tmp_path_factory.mktemp("float4"))[0]


def test_values_are_the_float32_values_rounded_once(path: Path) -> None:
    wide = dict(deserialize(Checkpoint.from_spec(spec("float32")).read(FILE)))
    for name, entry in deserialize(path.read_bytes()):
        if entry["dtype"] != "F4":
            continue
        assert entry["shape"] == wide[name]["shape"] == SHAPES[name]
        values = np.frombuffer(wide[name]["data"], np.float32)
        found = float4.numbers(np.frombuffer(entry["data"], np.uint8))
        nearest = np.min(np.abs(values[:, None] - float4.VALUES[None]), axis=1, initial=np.inf)
        assert np.array_equal(np.abs(values - found), nearest), name


def test_the_library_loads_pairs_of_elements(path: Path) -> None:
    loaded = load_file(path)
    raw = {name: entry["data"] for name, entry in deserialize(path.read_bytes())}
    for name, shape in SHAPES.items():
        assert loaded[name].dtype == torch.float4_e2m1fn_x2
        assert loaded[name].shape == (*shape[:-1], shape[-1] // 2)
        assert loaded[name].view(torch.uint8).numpy().tobytes() == bytes(raw[name])
    with safe_open(path, "pt") as file:
        assert file.get_slice("drawn").get_shape() == SHAPES["drawn"]


@given(st.data())
def test_any_byte_range_is_a_part_of_the_file(issued: Checkpoint, data: st.DataObject) -> None:
    whole = issued.read(FILE)
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, min(len(whole), start + 3000)))
    assert issued.read(FILE, start, stop) == whole[start:stop]


def test_torch_operations_give_the_same_bytes(path: Path) -> None:
    made = planned(spec())
    evaluator = Evaluator(made.plan, made.blobs, draws=ReferenceDraws(torch.device("cpu")))
    raw = {name: bytes(entry["data"]) for name, entry in deserialize(path.read_bytes())}
    for index, tensor in enumerate(made.plan.tensors):
        out = np.empty(tensor.nbytes, np.uint8)
        evaluator.fill(index, 0, tensor.numel, out)
        assert out.tobytes() == raw[tensor.name], tensor.name


def test_statistics_are_of_the_elements_and_have_a_verdict() -> None:
    made = planned(spec())
    evaluator = Evaluator(made.plan, made.blobs)
    statistics = CheckpointStatistics(made.plan, made.blobs)
    for index, tensor in enumerate(made.plan.tensors):
        out = np.empty(tensor.nbytes, np.uint8)
        observer = statistics.observers.get(tensor.name)
        if tensor.numel:
            evaluator.fill(index, 0, tensor.numel, out, observer)
    found = statistics.document()["tensors"]
    assert (found["large"]["numel"], found["large"]["max"]) == (300 * 1024, 6.0)
    verdicts = {name: each["pass"] for name, each in found.items()}
    # A dtype so coarse says too little of orthogonality.
    unjudged = {name for name, passed in verdicts.items() if passed is None}
    assert unjudged == {"orthogonal", "empty"}
    assert False not in verdicts.values()


def test_a_file_is_verified_and_a_wrong_half_of_a_byte_is_named(
    issued: Checkpoint, tmp_path: Path
) -> None:
    (path,) = issued.write(tmp_path)
    assert check(path).verdict == "verified"
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    start = json.loads(data[8 : 8 + length])["large"]["data_offsets"][0] + 8 + length
    data[start + 700] ^= 0x10
    path.write_bytes(data)
    (difference,) = check(path).differences
    assert (difference.tensor, difference.element, difference.index) == ("large", 1401, (1, 377))
    assert difference.offset == start + 700
    whole = float4.numbers(np.frombuffer(bytes(data), np.uint8)[start : start + 701])
    assert difference.document()["found"]["value"] == str(float(whole[1401]))


def faults(document: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as refused:
        planned(document)
    return [(fault.path, fault.message) for fault in refused.value.faults]


@pytest.mark.parametrize("shape", [[3], [4, 5], [2, 1], [0, 3], []])
@pytest.mark.parametrize("dtype", ["F4", "float4_e2m1fn_x2"])
def test_a_last_size_that_is_odd_is_a_fault(shape: list[int], dtype: str) -> None:
    architecture = {"type": "tensors", "tensors": [{"name": "a", "shape": shape, "dtype": dtype}]}
    message = (
        "two elements of float4_e2m1fn_x2 share a byte, so the last size of a shape is even; "
        f"not {shape}"
    )
    assert faults({"architecture": architecture}) == [("architecture.tensors.0.shape", message)]


def test_a_header_with_four_bits_is_taken() -> None:
    entry = {"dtype": "F4", "shape": [3, 6], "data_offsets": [0, 9]}
    document = {"architecture": {"type": "tensors", "header": {"a": entry}}}
    zeros = {"init": {"rules": [{"match": {}, "initializer": {"type": "zeros"}}]}}
    assert planned(document | zeros).plan.tensors[0].nbytes == 9
    entry["data_offsets"] = [0, 18]
    assert faults(document | zeros)[0][0] == "architecture.header.a.data_offsets"


@pytest.mark.parametrize("generator", ["torch", "numpy"])
def test_a_script_cannot_make_them(generator: str) -> None:
    document = spec()
    document["init"]["generator"] = generator
    path, message = faults(document)[0]
    assert path == "architecture.tensors.0.dtype"
    assert message.startswith("PyTorch converts nothing to float4_e2m1fn_x2")


@pytest.mark.parametrize("place", ["parameters", "buffers"])
def test_only_a_list_of_tensors_has_them(place: str) -> None:
    shape = {"shape": [2, 2], "dtype": "F4"}
    custom = {"type": "Custom", place: {"w": shape}}
    assert faults({"architecture": custom})[0][0] == f"architecture.{place}.w.dtype"
    child = {"type": "Sequential", "layers": [{"type": "tensors", "tensors": {"w": shape}}]}
    path, message = faults({"architecture": child})[0]
    assert path == "architecture.layers.0.tensors.w.dtype"
    assert message == (
        'float4_e2m1fn_x2 is possible only in an architecture that is a list of tensors ("tensors")'
    )
