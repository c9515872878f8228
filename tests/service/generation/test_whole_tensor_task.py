"""Workers of whole tensors: into the store, else into memory, else a problem."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from seedpoint.models.generation.whole_tensors import WholeMatrix
from seedpoint.service.errors import StoreFull, StoreUnwritable
from seedpoint.service.generation.whole_tensor_task import WholeTensorWorkers
from seedpoint.service.storage.directory import DirectoryStore

GIB = 1 << 30


def matrix(side: int) -> WholeMatrix:
    return WholeMatrix((0, 0), 0, (side, side), (1.0).hex())


def test_a_tensor_goes_to_the_store(tmp_path: Path) -> None:
    workers = WholeTensorWorkers(DirectoryStore(tmp_path), GIB, threads=1)
    assert workers.task().run(matrix(20)) is None
    found = workers.files().open(matrix(20))
    assert found is not None
    assert found.tobytes() == matrix(20).make().tobytes()


def test_a_small_one_without_room_on_disk_is_passed_on(tmp_path: Path) -> None:
    workers = WholeTensorWorkers(DirectoryStore(tmp_path), 1000, threads=1)
    made = workers.task().run(matrix(20))
    assert made is not None
    assert made.tobytes() == matrix(20).make().tobytes()
    assert workers.files().open(matrix(20)) is None


def test_a_large_one_without_room_on_disk_is_a_problem(tmp_path: Path) -> None:
    workers = WholeTensorWorkers(DirectoryStore(tmp_path), 1000, threads=1)
    with pytest.raises(
        StoreFull, match=f"no space on disk for a whole tensor of {4 * 6000 * 6000} bytes"
    ):
        workers.task().run(matrix(6000))


def test_a_large_one_that_cannot_be_written_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "posix_fallocate", refused)
    workers = WholeTensorWorkers(DirectoryStore(tmp_path), GIB, threads=1)
    with pytest.raises(StoreUnwritable, match="Read-only"):
        workers.task().run(matrix(6000))


def test_a_computation_may_take_what_it_costs_and_more() -> None:
    workers = WholeTensorWorkers(DirectoryStore(Path("unused")), GIB, threads=2)
    for side in (20, 6000):
        assert workers.limits(matrix(side)).memory_bytes > matrix(side).cost(2).nbytes
