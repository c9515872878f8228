"""Whole tensors in a store: bounded, whole or absent, each computed once, never a damaged byte."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest

from seedpoint.models.generation.whole_tensors import (
    Raw,
    WholeCuts,
    WholeMatrix,
    Wholes,
    WholeTensor,
)
from seedpoint.models.stream.cuts import find_cuts
from seedpoint.service.storage import checksums, whole_tensor_files
from seedpoint.service.storage.atomic_files import temporary_path
from seedpoint.service.storage.directory import DirectoryStore
from seedpoint.service.storage.store import Entry, Store, put
from seedpoint.service.storage.whole_tensor_files import LEAST_BYTES, WholeTensorFiles

SIDE = 200  # 160,000 bytes.
GIB = 1 << 30


def matrix(draw: int = 0, side: int = SIDE) -> WholeMatrix:
    return WholeMatrix((1, 2), draw, (side, side), (1.0).hex())


def filled(whole: WholeTensor) -> Callable[[], Raw]:
    return lambda: np.full(whole.nbytes, whole.draw, np.uint8)


def entries(store: Store) -> list[Entry]:
    return list(store.entries("whole_tensors"))


def the_name(store: Store) -> str:
    (entry,) = entries(store)
    return entry.name


def counted_bytes(store: Store) -> int:
    listed = sum(max(entry.nbytes, LEAST_BYTES) for entry in entries(store))
    return listed + store.unfinished_bytes("whole_tensors")


@pytest.fixture
def files(backend: Store) -> WholeTensorFiles:
    return WholeTensorFiles(backend, GIB)


def test_a_whole_tensor_is_there_for_every_process(files: WholeTensorFiles, backend: Store) -> None:
    assert files.open(matrix()) is None
    files.add(matrix(), matrix().make)
    for found in (files.open(matrix()), WholeTensorFiles(backend, GIB).open(matrix())):
        assert found is not None
        assert found.tobytes() == matrix().make().tobytes()
        assert found.ctypes.data % 8 == 0
        assert found.flags.writeable


@pytest.mark.parametrize(
    "other",
    [
        WholeMatrix((1, 3), 0, (8, 8), (1.0).hex()),
        WholeMatrix((1, 2), 1, (8, 8), (1.0).hex()),
        WholeMatrix((1, 2), 0, (8, 4, 2), (1.0).hex()),
        WholeMatrix((1, 2), 0, (8, 8), (-1.0).hex()),
        WholeMatrix((1, 2), 0, (8, 8), (0.0).hex()),
        WholeMatrix((1, 2), 0, (8, 8), (-0.0).hex()),
        WholeCuts((1, 2), 0, (8, 8), 1),
        WholeCuts((1, 2), 0, (8, 8), 2),
    ],
)
def test_no_two_whole_tensors_have_one_name(
    files: WholeTensorFiles, backend: Store, other: WholeTensor
) -> None:
    one = WholeMatrix((1, 2), 0, (8, 8), (1.0).hex())
    files.add(one, filled(one))
    assert files.open(other) is None
    files.add(other, filled(other))
    assert len(entries(backend)) == 2


def test_cuts_come_back_as_they_were_found(files: WholeTensorFiles) -> None:
    whole = WholeCuts((1, 2), 4, (300, 700), 90)
    files.add(whole, whole.make)

    class Opening:
        def get(self, key: WholeTensor, make: Callable[[], Raw]) -> Raw:
            found = files.open(key)
            assert found is not None
            return found

    found, expected = Wholes(Opening()).cuts(whole), find_cuts((1, 2), 5, (300, 700), 90)
    assert found.words.tolist() == expected.words.tolist()
    assert found.rows.tolist() == expected.rows.tolist()


# --- damage ---------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 20, 70_000, 160_000, -40, -1])
def test_a_damaged_whole_tensor_is_as_if_it_were_absent(
    files: WholeTensorFiles, backend: Store, at: int
) -> None:
    files.add(matrix(), matrix().make)
    name = the_name(backend)
    content = bytearray(backend.get("whole_tensors", name))
    content[at] ^= 1
    put(backend, "whole_tensors", name, [content])
    fresh = WholeTensorFiles(backend, GIB)
    assert fresh.open(matrix()) is None
    fresh.add(matrix(), matrix().make)
    found = fresh.open(matrix())
    assert found is not None
    assert found.tobytes() == matrix().make().tobytes()


@pytest.mark.parametrize("length", [0, 1, 1000, 160_000, 160_063])
def test_one_of_another_length_is_as_if_it_were_absent(
    files: WholeTensorFiles, backend: Store, length: int
) -> None:
    files.add(matrix(), matrix().make)
    name = the_name(backend)
    put(backend, "whole_tensors", name, [backend.get("whole_tensors", name)[:length]])
    assert WholeTensorFiles(backend, GIB).open(matrix()) is None


def test_one_under_another_name_is_damaged(files: WholeTensorFiles, backend: Store) -> None:
    files.add(matrix(0), filled(matrix(0)))
    content = backend.get("whole_tensors", the_name(backend))
    assert backend.delete("whole_tensors", the_name(backend))
    files.add(matrix(1), filled(matrix(1)))
    put(backend, "whole_tensors", the_name(backend), [content])
    assert WholeTensorFiles(backend, GIB).open(matrix(1)) is None


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_as_if_it_were_absent(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    files = WholeTensorFiles(DirectoryStore(tmp_path), GIB)
    files.add(matrix(), filled(matrix()))
    (path,) = tmp_path.glob("whole_tensors/*/*.bin")
    path.unlink()
    make(path)
    fresh = WholeTensorFiles(DirectoryStore(tmp_path), GIB)
    assert fresh.open(matrix()) is None
    fresh.add(matrix(), filled(matrix()))
    assert fresh.open(matrix()) is not None


def test_one_that_may_not_be_read_is_as_if_it_were_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = WholeTensorFiles(DirectoryStore(tmp_path), GIB)
    files.add(matrix(), filled(matrix()))

    def failing(number: int) -> Callable[..., int]:
        def fail(*_: object) -> int:
            raise OSError(number, os.strerror(number))

        return fail

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing(errno.EACCES))
        assert files.open(matrix()) is None
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing(errno.EMFILE))
        with pytest.raises(OSError, match="Too many open files"):
            files.open(matrix())
    assert files.open(matrix()) is not None


def test_an_intact_one_is_checked_once(
    files: WholeTensorFiles, backend: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def check(file: memoryview, id_: str, size_bytes: int) -> memoryview:
        checked.append(id_)
        return checksums.checked_content(file, id_, size_bytes)

    monkeypatch.setattr(whole_tensor_files, "checked_content", check)
    files.add(matrix(), matrix().make)
    for _ in range(3):
        assert files.open(matrix()) is not None
    assert checked == [the_name(backend)]


# --- room -----------------------------------------------------------------------------


def add_used(files: WholeTensorFiles, store: Store, draw: int, used_ns: int) -> None:
    """Add a whole tensor that is used at this time, which must be later than now."""
    before = {entry.name for entry in entries(store)}
    files.add(matrix(draw), filled(matrix(draw)))
    (name,) = {entry.name for entry in entries(store)} - before
    store.use("whole_tensors", name, used_ns)


def test_they_never_take_more_than_the_limit_and_the_longest_unused_goes_first(
    backend: Store,
) -> None:
    files = WholeTensorFiles(backend, 4 * 180_000)
    for draw in range(4):
        add_used(files, backend, draw, time.time_ns())
    assert files.open(matrix(0)) is not None
    for draw in (4, 5):
        files.add(matrix(draw), filled(matrix(draw)))
        assert counted_bytes(backend) <= 4 * 180_000
    kept = [draw for draw in range(6) if files.open(matrix(draw)) is not None]
    assert kept == [0, 3, 4, 5]


def test_a_use_by_a_clock_that_was_ahead_does_not_outlast_others(backend: Store) -> None:
    files = WholeTensorFiles(backend, 2 * 180_000)
    add_used(files, backend, 0, time.time_ns() + 2 * 86_400 * 10**9)
    for draw in (1, 2):
        files.add(matrix(draw), filled(matrix(draw)))
    assert [files.open(matrix(draw)) is not None for draw in range(3)] == [False, True, True]


def test_small_ones_count_enough_that_there_are_never_too_many(backend: Store) -> None:
    files = WholeTensorFiles(backend, 10 * LEAST_BYTES)
    for draw in range(30):
        files.add(matrix(draw, side=2), filled(matrix(draw, side=2)))
    assert len(entries(backend)) == 10


def test_who_has_one_open_keeps_it_after_its_removal(backend: Store) -> None:
    files = WholeTensorFiles(backend, 180_000)
    files.add(matrix(1), filled(matrix(1)))
    found = files.open(matrix(1))
    files.add(matrix(2), filled(matrix(2)))
    assert files.open(matrix(1)) is None
    assert found is not None
    assert (found == 1).all()


def test_one_that_is_larger_than_the_limit_is_refused_before_it_is_computed(
    backend: Store,
) -> None:
    files = WholeTensorFiles(backend, 100_000)
    files.add(matrix(side=100), filled(matrix(side=100)))

    def never() -> Raw:
        raise AssertionError("was computed")

    with pytest.raises(OSError, match="at most") as refused:
        files.add(matrix(), never)
    assert refused.value.errno == errno.ENOSPC
    assert files.open(matrix(side=100)) is not None


def test_what_is_being_written_counts_and_is_never_removed(backend: Store) -> None:
    files = WholeTensorFiles(backend, 3 * 180_000)

    def compute() -> Raw:
        for draw in (2, 3, 4):  # While another is being written.
            files.add(matrix(draw), filled(matrix(draw)))
            assert counted_bytes(backend) <= 3 * 180_000
        with pytest.raises(OSError, match="at most"):
            files.add(matrix(side=350), filled(matrix(side=350)))
        return filled(matrix(1))()

    files.add(matrix(1), compute)
    kept = [draw for draw in range(1, 5) if files.open(matrix(draw)) is not None]
    assert kept == [1, 3, 4]


def test_a_full_disk_is_noticed_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def never() -> Raw:
        raise AssertionError("was computed")

    store = DirectoryStore(tmp_path)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        WholeTensorFiles(store, GIB).add(matrix(), never)
    assert counted_bytes(store) == 0


def test_a_computation_that_fails_leaves_nothing(files: WholeTensorFiles, backend: Store) -> None:
    def fails() -> Raw:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        files.add(matrix(), fails)
    assert counted_bytes(backend) == 0
    files.add(matrix(), filled(matrix()))


def test_what_a_killed_process_left_makes_room(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    files = WholeTensorFiles(store, 2 * 180_000)
    files.add(matrix(1), filled(matrix(1)))
    (path,) = tmp_path.glob("whole_tensors/*/*.bin")
    left = temporary_path(path)
    left.write_bytes(bytes(500_000))
    files.add(matrix(2), filled(matrix(2)))
    assert not left.exists()
    assert files.open(matrix(1)) is not None


# --- once -----------------------------------------------------------------------------


def test_one_that_threads_want_at_once_is_computed_once(files: WholeTensorFiles) -> None:
    computed: list[int] = []
    all_want_it = threading.Barrier(6)

    def compute() -> Raw:
        computed.append(threading.get_ident())
        return filled(matrix())()

    def want() -> None:
        all_want_it.wait(60)
        files.add(matrix(), compute)

    with ThreadPoolExecutor(6) as pool:
        for added in [pool.submit(want) for _ in range(6)]:
            added.result()
    assert len(computed) == 1


def add_at_once(root: Path, log: Path, all_want_it: Barrier) -> None:
    def compute() -> Raw:
        with log.open("a") as file:
            file.write("computed\n")
        return filled(matrix())()

    all_want_it.wait(60)
    WholeTensorFiles(DirectoryStore(root), GIB).add(matrix(), compute)


def test_one_that_processes_want_at_once_is_computed_once(tmp_path: Path) -> None:
    context = get_context("forkserver")
    log, all_want_it = tmp_path / "log", context.Barrier(2)
    processes = [
        context.Process(target=add_at_once, args=(tmp_path / "store", log, all_want_it))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert log.read_text() == "computed\n"
