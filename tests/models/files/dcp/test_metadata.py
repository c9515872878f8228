"""`dcp.save` is the oracle of `.metadata`."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import Metadata, MetadataIndex

from seedpoint.models.dtypes import DTYPES
from seedpoint.models.files.dcp.directory import DcpDirectory
from seedpoint.models.files.dcp.grid import Grid
from seedpoint.models.files.dcp.metadata import metadata
from seedpoint.models.plan.plan import Plan, PlanTensor
from tests.models.files.dcp.test_directory import tensor

SAVED = {"a.weight": (5, 7), "b": (3,), "scalar": (), "empty": (0, 4), "conv": (4, 3, 2, 2)}


def loaded(directory: DcpDirectory) -> Any:
    return pickle.loads(metadata(directory, "id"))


def saved(state: dict[str, torch.Tensor], folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(state, checkpoint_id=folder)
    return pickle.loads((folder / ".metadata").read_bytes())


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.per_item == 1], ids=str)
def test_whole_tensors_are_listed_as_torch_lists_them(dtype: Any, tmp_path: Path) -> None:
    expected = saved({k: torch.zeros(s, dtype=dtype.torch) for k, s in SAVED.items()}, tmp_path)
    tensors = [tensor(name, *shape, dtype=dtype.name) for name, shape in SAVED.items()]
    found = loaded(DcpDirectory(tensors))
    assert isinstance(found, Metadata)
    assert found.state_dict_metadata == expected.state_dict_metadata
    assert found.planner_data == expected.planner_data
    assert found.version == expected.version
    assert found.storage_data.keys() == expected.storage_data.keys()
    for index, file in found.storage_data.items():
        assert vars(file).keys() == vars(expected.storage_data[index]).keys()
        assert file.offset == 0


def test_each_chunk_is_in_the_file_that_is_listed_for_it() -> None:
    directory = DcpDirectory([tensor("a", 4), tensor("w", 4, 6)], grid=Grid(2, 3))
    found = loaded(directory)
    for index, each in enumerate(directory.tensors):
        chunks = found.state_dict_metadata[each.name].chunks
        assert [(tuple(c.offsets), tuple(c.sizes)) for c in chunks] == [
            (chunk.offsets, chunk.sizes) for chunk in directory.chunks(index)
        ]
        for number, chunk in enumerate(chunks):
            listed = found.storage_data[MetadataIndex(each.name, chunk.offsets, number)]
            file = directory.file(listed.relative_path)
            assert file is not None
            assert (file.tensor, file.window.shape) == (index, tuple(chunk.sizes))
            assert (listed.offset, listed.length) == (0, file.size_bytes)


def test_aliases_are_names_of_the_same_files() -> None:
    directory = DcpDirectory([tensor("a", 4, aliases=("b",))], grid=Grid(2, 1), names={"b": "x"})
    found = loaded(directory)
    assert found.state_dict_metadata["a"] == found.state_dict_metadata["x"]
    paths = {name: [] for name in ("a", "x")}
    for index, file in found.storage_data.items():
        paths[index.fqn].append(file.relative_path)
    assert paths["a"] == paths["x"] == ["__0_0.distcp", "__1_0.distcp"]


def test_the_bytes_are_the_same_for_a_plan_that_was_stored() -> None:
    tensors = [tensor("a.b", 40, 60, dtype="float16", aliases=("c",)), tensor("d", 40)]
    stored = Plan.from_record(Plan(0, "philox-v1", {}, tuple(tensors)).record).tensors

    def content(tensors: Sequence[PlanTensor]) -> bytes:
        return metadata(DcpDirectory(tensors, grid=Grid(4, 4)), "id")

    assert content(tensors) == content(stored)
