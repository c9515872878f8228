"""Blobs in files of this machine: known by their content, and read only as they were."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.verify.header import FileFault
from seedpoint.service.local.blob_files import PIECE_BYTES, LocalBlobs
from tests.support.blob_files import rows, sha256


@pytest.fixture
def content() -> bytes:
    return save({"emb.weight": rows(dtype=torch.bfloat16), "big": torch.arange(PIECE_BYTES)})


@pytest.fixture
def path(tmp_path: Path, content: bytes) -> Path:
    found = tmp_path / "x.safetensors"
    found.write_bytes(content)
    return found


def test_a_file_is_known_by_the_digest_of_its_content(path: Path, content: bytes) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(content)
    blobs = LocalBlobs.of([path, copy])
    assert list(blobs) == [sha256(content)]
    assert sha256(content) in blobs and "ab" * 32 not in blobs
    assert blobs.path(sha256(content)) == path


def test_its_tensors_and_ranges_are_those_of_the_file(path: Path, content: bytes) -> None:
    blobs, name = LocalBlobs.of([path]), sha256(content)
    found = blobs.tensors(name)
    assert found.keys() == {"emb.weight", "big"}
    tensor = found["emb.weight"]
    assert (tensor.dtype, tensor.shape) == (BY_NAME["bfloat16"], (6, 3))
    out = np.empty(36, np.uint8)
    blobs.read(name, tensor.offset, out)
    assert out.tobytes() == rows(dtype=torch.bfloat16).view(torch.uint8).numpy().tobytes()


def test_a_pickled_copy_has_the_same_files(path: Path, content: bytes) -> None:
    blobs = LocalBlobs.of([path])
    copy = pickle.loads(pickle.dumps(blobs))
    assert copy.tensors(sha256(content)) == blobs.tensors(sha256(content))
    os.utime(path, (0, 0))
    with pytest.raises(FileFault, match="changed while it was read"):
        pickle.loads(pickle.dumps(blobs))


def test_a_file_that_changes_gives_no_byte(path: Path, content: bytes) -> None:
    blobs, out = LocalBlobs.of([path]), np.empty(10, np.uint8)
    with path.open("r+b") as file:
        file.write(b"xxxxxxxx")
    os.utime(path, (0, 0))
    with pytest.raises(FileFault, match="changed while it was read"):
        blobs.read(sha256(content), 100, out)
    with path.open("r+b") as file:
        file.truncate(50)
    with pytest.raises(FileFault, match="ended at byte 50"):
        blobs.read(sha256(content), 0, np.empty(100, np.uint8))


def test_a_blob_that_is_not_given_is_told_with_those_that_are(path: Path, content: bytes) -> None:
    with pytest.raises(ValueError, match=f"no blob {'ab' * 32} is given") as caught:
        LocalBlobs.of([path]).tensors("ab" * 32)
    assert f"({path} is {sha256(content)})" in str(caught.value)
    with pytest.raises(ValueError, match="add --blob FILE"):
        LocalBlobs().tensors("ab" * 32)


def test_a_file_that_is_no_safetensors_file_is_told_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "pickle"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    blobs = LocalBlobs.of([path])
    with pytest.raises(ValueError, match=f"{path}: truncated, or not a safetensors file"):
        blobs.tensors(next(iter(blobs)))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LocalBlobs.of([tmp_path / "missing"])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileFault, match="not a regular file"):
        LocalBlobs.of([tmp_path / "pipe"])


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_files_close_with_the_last_reference(path: Path) -> None:
    before = descriptors()
    blobs = LocalBlobs.of([path, path])
    assert descriptors() > before
    del blobs
    assert descriptors() == before
