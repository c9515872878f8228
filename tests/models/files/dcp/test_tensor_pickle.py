"""`torch.save` is the oracle: the pickle is what it writes, byte for byte."""

from __future__ import annotations

import io
import pickle
import zipfile

import pytest
import torch

from seedpoint.models.dtypes import BY_NAME, DTYPES, DType
from seedpoint.models.files.dcp.tensor_pickle import tensor_pickle

SHAPES = [(), (0,), (3,), (300, 2), (70_000,), (2, 0, 3), (1, 1, 1), (2, 3, 4, 5), (2, 1, 1, 1, 7)]


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.per_item == 1], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_pickle_is_torchs(dtype: DType, shape: tuple[int, ...]) -> None:
    file = io.BytesIO()
    torch.save(torch.empty(shape, dtype=dtype.torch), file)
    with zipfile.ZipFile(file) as archive:
        assert tensor_pickle(dtype, shape) == archive.read("archive/data.pkl")


@pytest.mark.parametrize("size", [255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**39, 2**40 + 1])
def test_sizes_are_pickled_as_python_does(size: int) -> None:
    number = pickle.dumps(size, 2)[2:-1]
    assert tensor_pickle(BY_NAME["float32"], (size, 1)).count(number) == 2
