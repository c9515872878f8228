"""Archives as torch and zipfile read them."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest
import torch

from seedpoint.models.dtypes import BY_CODE, BY_NAME, DTYPES, DType
from seedpoint.models.files.dcp.archive import ALIGNMENT_BYTES, archive
from tests.support.places import GOLDEN

SHAPES = [(), (0,), (5,), (3, 7), (2, 3, 4, 5)]
DATA = "archive/data/0"
LIMIT = 0xFFFFFFFF  # from here on a size is in a zip64 field


def values(dtype: DType, shape: tuple[int, ...]) -> torch.Tensor:
    raw = torch.randint(0, 2, (torch.Size(shape).numel() * dtype.itemsize,), dtype=torch.uint8)
    return raw.view(dtype.torch).reshape(shape)


def file_of(tensor: torch.Tensor, dtype: DType) -> bytes:
    around = archive(dtype, tuple(tensor.shape))
    data = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
    found = around.head + data + around.tail
    assert len(found) == around.size_bytes
    return found


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.per_item == 1], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_torch_loads_the_tensor(dtype: DType, shape: tuple[int, ...]) -> None:
    tensor = values(dtype, shape)
    found = torch.load(io.BytesIO(file_of(tensor, dtype)), weights_only=True)
    assert (found.dtype, found.shape, found.stride()) == (
        tensor.dtype,
        tensor.shape,
        tensor.stride(),
    )
    assert torch.equal(found.reshape(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8))


def test_the_entries_are_those_of_torch_but_for_what_readers_ignore() -> None:
    tensor = values(BY_NAME["float32"], (3, 7))
    theirs = io.BytesIO()
    torch.save(tensor, theirs)
    ignored = {"archive/.format_version", "archive/.storage_alignment"}
    ignored.add("archive/.data/serialization_id")
    with (
        zipfile.ZipFile(io.BytesIO(file_of(tensor, BY_NAME["float32"]))) as ours,
        zipfile.ZipFile(theirs) as expected,
    ):
        assert set(ours.namelist()) == set(expected.namelist()) - ignored
        for name in set(ours.namelist()) - {DATA}:
            assert ours.read(name) == expected.read(name)
        entry = ours.getinfo(DATA)
        assert (entry.compress_type, entry.flag_bits, entry.CRC) == (zipfile.ZIP_STORED, 0, 0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_data_are_aligned_so_that_a_mapped_file_is_a_tensor(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    dtype = BY_NAME["complex64"]
    tensor, path = values(dtype, shape), tmp_path / "file"
    path.write_bytes(file_of(tensor, dtype))
    assert len(archive(dtype, shape).head) % ALIGNMENT_BYTES == 0
    found = torch.load(path, mmap=True, weights_only=True)
    assert torch.equal(found, tensor)


@pytest.mark.parametrize("nbytes", [LIMIT - 1000, LIMIT - 400, LIMIT - 1, LIMIT, LIMIT + 1, 2**34])
def test_a_tensor_of_four_gibibytes_is_in_a_zip64_archive(nbytes: int, tmp_path: Path) -> None:
    """In a file that is sparse, so that it takes no space."""
    path, around = tmp_path / "file", archive(BY_NAME["uint8"], (nbytes,))
    with path.open("wb") as file:
        file.write(around.head + b"abc")
        file.seek(len(around.head) + nbytes)
        file.write(around.tail)
    with zipfile.ZipFile(path) as found:
        assert found.getinfo(DATA).file_size == found.getinfo(DATA).compress_size == nbytes
        with found.open(DATA) as data:
            assert data.read(3) == b"abc"
    tensor = torch.load(path, mmap=True, weights_only=True)
    assert tensor.shape == (nbytes,)
    assert bytes(tensor[:4].tolist()) == b"abc\0"
    assert (around.tail[:-22].find(b"PK\6\6") > 0) == (len(around.head) + nbytes >= LIMIT)


def test_an_issued_file_never_changes() -> None:
    golden = json.loads((GOLDEN / "dcp_archives_sha256.json").read_text())
    for case, digest in golden.items():
        code, shape = case.split(" ", 1)
        around = archive(BY_CODE[code], tuple(json.loads(shape)))
        assert hashlib.sha256(around.head + around.tail).hexdigest() == digest, case
    assert {case.split()[0] for case in golden} == {
        code for code, dtype in BY_CODE.items() if dtype.per_item == 1
    }
