"""Any range of a chunk's file is that range of the whole, and its elements are the tensor's."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.files.dcp.directory import DcpDirectory, DcpFile
from seedpoint.models.files.dcp.grid import Grid
from seedpoint.models.generation import dcp_files
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from tests.support.issued import evaluated

DTYPES = ("F32", "F64", "BF16", "F16", "F8_E4M3", "F8_E5M2", "F8_E8M0")
SHAPES = {f"{code} {axes}": (code, shape) for code in DTYPES for axes, shape in
          enumerate([(), (7,), (0, 3), (12, 10), (4, 6, 3)])}  # fmt: skip
OTHERS = {"complex": ("C64", [3, 4]), "int": ("I32", [5, 4]), "bool": ("BOOL", [6, 2])}


def spec() -> dict[str, Any]:
    listed = {**SHAPES, **OTHERS, "orthogonal": ("F32", [40, 24]), "wide": ("F32", [3, 70_000])}
    tensors = [
        {"name": name, "shape": list(shape), "dtype": code}
        for name, (code, shape) in listed.items()
    ]
    zeros = {"type": "zeros"}
    rules = [
        *({"match": {"name": name}, "initializer": zeros} for name in OTHERS),
        {"match": {"name": "orthogonal"}, "initializer": {"type": "orthogonal"}},
        {"match": {"name": "F8_E8M0 *"}, "initializer": {"type": "ones"}},
        {"match": {}, "initializer": {"type": "normal"}},
    ]
    architecture = {"type": "tensors", "tensors": tensors}
    return {"architecture": architecture, "init": {"rules": rules}}


PLANNED = make_plan(parse_spec(spec()))
EVALUATOR = Evaluator(PLANNED.plan, PLANNED.blobs)
DIRECTORIES = [
    DcpDirectory(PLANNED.plan.tensors, grid=grid)
    for grid in (None, Grid(1, 1), Grid(4, 1), Grid(3, 4))
]


def read(file: DcpFile, start: int, stop: int) -> bytes:
    out = np.empty(stop - start, np.uint8)
    dcp_files.read(EVALUATOR, file, start, stop, out)
    return out.tobytes()


@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda directory: str(directory.grid))
def test_a_chunk_holds_its_part_of_the_tensor(directory: DcpDirectory) -> None:
    whole = evaluated(PLANNED)
    for index, tensor in enumerate(PLANNED.plan.tensors):
        for number, chunk in enumerate(directory.chunks(index), directory.first_file(index)):
            file = directory.file(f"__{number}_0.distcp")
            assert file is not None
            found = torch.load(io.BytesIO(read(file, 0, file.size_bytes)), weights_only=True)
            part = tuple(slice(o, o + s) for o, s in zip(chunk.offsets, chunk.sizes, strict=True))
            expected = whole[tensor.name][part].contiguous()
            assert found.shape == expected.shape
            assert torch.equal(
                found.reshape(-1).view(torch.uint8), expected.reshape(-1).view(torch.uint8)
            )


@st.composite
def ranges(draw: st.DrawFn) -> tuple[DcpFile, int, int]:
    directory = draw(st.sampled_from(DIRECTORIES))
    number = draw(st.integers(0, len(directory) - 1))
    file = directory.file(f"__{number}_0.distcp")
    assert file is not None
    start = draw(st.integers(0, file.size_bytes))
    return file, start, draw(st.integers(start, file.size_bytes))


@given(ranges())
def test_a_range_is_that_of_the_whole(found: tuple[DcpFile, int, int]) -> None:
    file, start, stop = found
    assert read(file, start, stop) == read(file, 0, file.size_bytes)[start:stop]


@given(ranges(), st.integers(1, 5000))
def test_cuts_join_to_the_range_and_lie_between_elements(
    found: tuple[DcpFile, int, int], nbytes: int
) -> None:
    file, start, stop = found
    spans = list(dcp_files.cuts(EVALUATOR, file, start, stop, nbytes))
    assert [span[0] for span in spans[:1]] == ([start] if start < stop else [])
    assert [span[1] for span in spans[-1:]] == ([stop] if start < stop else [])
    for (_, end), (begin, _) in pairwise(spans):
        assert end == begin
        assert (end - len(file.head)) % file.dtype.itemsize == 0
    longest = max(nbytes, file.dtype.itemsize) + len(file.head) + len(file.tail)
    assert all(0 < last - first <= longest for first, last in spans)


def test_whole_tensors_are_needed_by_the_data_that_depend_on_them_alone() -> None:
    (directory,) = (found for found in DIRECTORIES if found.grid == Grid(3, 4))
    names = [tensor.name for tensor in PLANNED.plan.tensors]
    first = directory.first_file(names.index("orthogonal"))
    file = directory.file(f"__{first + 1}_0.distcp")
    other = directory.file("__0_0.distcp")
    assert file is not None and other is not None
    head, stop = len(file.head), file.size_bytes
    assert len(dcp_files.whole_tensors(EVALUATOR, file, 0, stop)) == 1
    assert len(dcp_files.whole_tensors(EVALUATOR, file, head, head + 1)) == 1
    assert dcp_files.whole_tensors(EVALUATOR, file, 0, head) == []
    assert dcp_files.whole_tensors(EVALUATOR, file, stop - len(file.tail), stop) == []
    assert dcp_files.whole_tensors(EVALUATOR, other, 0, other.size_bytes) == []
