"""Slices of tensors of four bits, which begin and end inside bytes of the whole."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import deserialize

from seedpoint.models.files.layout import layout
from seedpoint.models.files.slices import parse_slice
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.generation.tensor_part import TensorPart
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.stream import float4
from seedpoint.service.generation.engine import Engine
from seedpoint.service.generation.numbers import numbers
from seedpoint.service.generation.parts_source import PartsFile

SHAPE = [7, 9000]
SPEC: dict[str, Any] = {
    "architecture": {"type": "tensors", "tensors": {"w": {"shape": SHAPE, "dtype": "F4"}}},
    "init": {"rules": [{"match": {}, "initializer": {"type": "normal", "std": 2}}]},
}
SLICES = {
    "": np.s_[:],
    "1:": np.s_[1:],
    "3": np.s_[3],
    ":,1:8999": np.s_[:, 1:8999],
    ":,::3": np.s_[:, ::3],
    "2:5,7:4323:2": np.s_[2:5, 7:4323:2],
    "::2,-5:-1": np.s_[::2, -5:-1],
    "5:5": np.s_[5:5],
}
ODD = {"0,3": np.s_[0, 3], ":,5": np.s_[:, 5], ":,1:4": np.s_[:, 1:4]}


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator(make_plan(parse_spec(SPEC)).plan)


@pytest.fixture(scope="module")
def whole(evaluator: Evaluator) -> torch.Tensor:
    (file,) = layout(evaluator.plan).files.values()
    out = np.empty(file.size_bytes, np.uint8)
    evaluator.read(file, 0, file.size_bytes, out)
    values = float4.numbers(out[len(file.head) :])
    return torch.from_numpy(values).reshape(SHAPE)


def sliced(evaluator: Evaluator, text: str) -> TensorPart:
    return TensorPart(evaluator, 0, parse_slice(text, tuple(SHAPE)), "w")


def read(part: TensorPart, nbytes: int) -> bytes:
    file = PartsFile.of([part], etag='"w"')
    out = np.empty(file.size_bytes, np.uint8)
    for start, stop in file.cuts(0, file.size_bytes, nbytes):
        file.read(start, stop, out[start:stop])
    return out.tobytes()


@pytest.mark.parametrize("text", SLICES)
@pytest.mark.parametrize("nbytes", [100, 1 << 20])
def test_a_slice_is_a_file_of_the_elements(
    evaluator: Evaluator, whole: torch.Tensor, text: str, nbytes: int
) -> None:
    expected = whole[SLICES[text]]
    ((_, entry),) = deserialize(read(sliced(evaluator, text), nbytes))
    assert (entry["dtype"], entry["shape"]) == ("F4", list(expected.shape))
    found = float4.numbers(np.frombuffer(entry["data"], np.uint8))
    assert found.tolist() == expected.flatten().tolist()


@pytest.mark.parametrize("text", [*SLICES, *ODD])
def test_the_numbers_of_a_slice_may_be_odd(
    evaluator: Evaluator, whole: torch.Tensor, text: str
) -> None:
    async def listed() -> Any:
        engine = Engine(threads=1, chunk_bytes=1 << 20, look_ahead=1, ahead_bytes=1 << 20)
        try:
            return await numbers(engine, sliced(evaluator, text))
        finally:
            engine.close()

    assert asyncio.run(listed()) == whole[(SLICES | ODD)[text]].tolist()
