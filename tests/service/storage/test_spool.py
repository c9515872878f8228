"""The spool: bounded, whole or absent, each made once, never a damaged byte."""

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
    Needed,
    Raw,
    WholeCuts,
    WholeMatrix,
    Wholes,
)
from seedpoint.models.stream.cuts import find_cuts
from seedpoint.service.storage.atomic_files import temporary_path
from seedpoint.service.storage.spool import HEAD, LEAST_BYTES, Spool

SIDE = 200  # 160,000 bytes.
GIB = 1 << 30


def matrix(draw: int = 0, side: int = SIDE) -> WholeMatrix:
    return WholeMatrix((1, 2), draw, (side, side), (1.0).hex())


def filled(needed: Needed) -> Callable[[], Raw]:
    return lambda: np.full(needed.nbytes, needed.draw, np.uint8)


def files(spool: Spool) -> list[Path]:
    return [path for path in spool.root.iterdir() if not path.name.startswith(".")]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", GIB)


def test_what_was_added_is_there_for_others_too(spool: Spool) -> None:
    assert spool.open(matrix()) is None
    spool.add(matrix(), matrix().make)
    for found in (spool.open(matrix()), Spool(spool.root, GIB).open(matrix())):
        assert found is not None
        assert found.tobytes() == matrix().make().tobytes()
        assert found.ctypes.data % 8 == 0


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
def test_no_two_wholes_have_one_file(spool: Spool, other: Needed) -> None:
    one = WholeMatrix((1, 2), 0, (8, 8), (1.0).hex())
    spool.add(one, filled(one))
    assert spool.open(other) is None
    spool.add(other, filled(other))
    assert len(files(spool)) == 2


def test_cuts_come_back_as_they_were_found(spool: Spool) -> None:
    needed = WholeCuts((1, 2), 4, (300, 700), 90)
    spool.add(needed, needed.make)

    class Opening:
        def get(self, key: Needed, make: Callable[[], Raw]) -> Raw:
            found = spool.open(key)
            assert found is not None
            return found

    found, expected = Wholes(Opening()).cuts(needed), find_cuts((1, 2), 5, (300, 700), 90)
    assert found.words.tolist() == expected.words.tolist()
    assert found.rows.tolist() == expected.rows.tolist()


@pytest.mark.parametrize("at", [0, 20, 50, HEAD.size, HEAD.size + 70_000, -1])
def test_a_damaged_file_is_as_if_it_were_not_there(spool: Spool, at: int) -> None:
    spool.add(matrix(), matrix().make)
    (path,) = files(spool)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    fresh = Spool(spool.root, GIB)
    assert fresh.open(matrix()) is None
    fresh.add(matrix(), matrix().make)
    found = fresh.open(matrix())
    assert found is not None
    assert found.tobytes() == matrix().make().tobytes()


@pytest.mark.parametrize("length", [0, 1, HEAD.size, HEAD.size + 1000])
def test_a_file_of_another_length_is_as_if_it_were_not_there(spool: Spool, length: int) -> None:
    spool.add(matrix(), matrix().make)
    (path,) = files(spool)
    os.truncate(path, length)
    assert Spool(spool.root, GIB).open(matrix()) is None


def directory(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_bytes(b"somebody's")


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


def looping(path: Path) -> None:
    path.symlink_to(path)


def linked(path: Path) -> None:
    path.symlink_to("/dev/null")


NO_FILES = [directory, os.mkfifo, dangling, looping, linked]


@pytest.mark.parametrize("put", NO_FILES)
def test_what_is_no_file_under_a_wholes_name_is_as_if_it_were_not_there(
    spool: Spool, put: Callable[[Path], None]
) -> None:
    spool.add(matrix(), filled(matrix()))
    (path,) = files(spool)
    path.unlink()
    put(path)
    fresh = Spool(spool.root, GIB)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    assert fresh.open(matrix()) is None
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    fresh.add(matrix(), filled(matrix()))
    assert fresh.open(matrix()) is not None
    assert files(spool) == [path]
    assert [kept.read_bytes() for kept in spool.root.rglob("inside")] == (
        [b"somebody's"] if put is directory else []
    )


@pytest.mark.parametrize("put", NO_FILES)
def test_what_is_no_file_does_not_keep_others_from_getting_room(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    spool = Spool(tmp_path, 2 * 180_000)
    put(tmp_path / "other")
    for draw in range(4):
        spool.add(matrix(draw), filled(matrix(draw)))
    assert spool.open(matrix(3)) is not None


def test_a_file_that_may_not_be_read_is_as_if_it_were_not_there(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.add(matrix(), filled(matrix()))

    def failing(number: int) -> Callable[..., int]:
        def fail(*_: object) -> int:
            raise OSError(number, os.strerror(number))

        return fail

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing(errno.EACCES))
        assert spool.open(matrix()) is None
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing(errno.EMFILE))
        with pytest.raises(OSError, match="Too many open files"):
            spool.open(matrix())
    assert spool.open(matrix()) is not None


def test_a_file_under_another_name_is_damaged(spool: Spool) -> None:
    spool.add(matrix(0), filled(matrix(0)))
    (path,) = files(spool)
    spool.add(matrix(1), filled(matrix(1)))
    (other,) = set(files(spool)) - {path}
    path.replace(other)
    assert Spool(spool.root, GIB).open(matrix(1)) is None


def test_a_sound_file_is_checked_once(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    from seedpoint.service.storage import spool as module

    checked: list[str] = []
    is_sound = module._is_sound
    monkeypatch.setattr(
        module, "_is_sound", lambda name, file: (checked.append(name), is_sound(name, file))[1]
    )
    spool.add(matrix(), matrix().make)
    for _ in range(3):
        assert spool.open(matrix()) is not None
    assert len(checked) == 1


def add_used(spool: Spool, draw: int, used_ns: int) -> None:
    """Adds a whole that was last used then."""
    before = set(files(spool))
    spool.add(matrix(draw), filled(matrix(draw)))
    (path,) = set(files(spool)) - before
    os.utime(path, ns=(used_ns, used_ns))


def test_it_never_holds_more_than_its_bound_and_forgets_the_longest_unused(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 4 * 180_000)
    for draw in range(4):
        add_used(spool, draw, used_ns=draw)
    assert spool.open(matrix(0)) is not None
    for draw in (4, 5):
        spool.add(matrix(draw), filled(matrix(draw)))
        assert spool.size_bytes() <= 4 * 180_000
    kept = [draw for draw in range(6) if spool.open(matrix(draw)) is not None]
    assert kept == [0, 3, 4, 5]


def test_what_was_used_by_a_clock_that_was_ahead_does_not_outlast_what_is_used(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path, 2 * 180_000)
    add_used(spool, 0, used_ns=time.time_ns() + 2 * 86_400 * 10**9)
    for draw in (1, 2):
        spool.add(matrix(draw), filled(matrix(draw)))
    assert [spool.open(matrix(draw)) is not None for draw in range(3)] == [False, True, True]


def test_small_files_count_enough_that_there_are_never_too_many(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10 * LEAST_BYTES)
    for draw in range(30):
        spool.add(matrix(draw, side=2), filled(matrix(draw, side=2)))
    assert len(files(spool)) == 10


def test_who_has_it_open_keeps_what_is_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 180_000)
    spool.add(matrix(1), filled(matrix(1)))
    found = spool.open(matrix(1))
    spool.add(matrix(2), filled(matrix(2)))
    assert spool.open(matrix(1)) is None
    assert found is not None
    assert (found == 1).all()


def test_what_is_larger_than_the_bound_is_refused_before_it_is_made(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100_000)
    spool.add(matrix(side=100), filled(matrix(side=100)))

    def never() -> Raw:
        raise AssertionError("was made")

    with pytest.raises(OSError, match="at most 100000 bytes"):
        spool.add(matrix(), never)
    assert spool.open(matrix(side=100)) is not None


def test_a_full_disk_is_told_before_anything_is_made(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        spool.add(matrix(), matrix().make)
    assert list(files(spool)) == []
    assert spool.size_bytes() == 0


def test_what_fails_while_it_is_made_leaves_nothing(spool: Spool) -> None:
    def fails() -> Raw:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        spool.add(matrix(), fails)
    assert spool.size_bytes() == 0
    spool.add(matrix(), filled(matrix()))


def test_what_a_killed_process_left_is_removed_and_what_is_written_is_not(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 3 * 180_000)
    left = temporary_path(tmp_path / "left")
    left.write_bytes(bytes(500_000))

    def make() -> Raw:
        assert not left.exists()
        spool.add(matrix(2), filled(matrix(2)))  # While another is being written.
        return filled(matrix(1))()

    spool.add(matrix(1), make)
    assert spool.open(matrix(1)) is not None
    assert spool.open(matrix(2)) is not None


def test_what_threads_want_at_once_is_made_once(spool: Spool) -> None:
    made: list[int] = []
    all_want_it = threading.Barrier(6)

    def make() -> Raw:
        made.append(threading.get_ident())
        return filled(matrix())()

    def want() -> None:
        all_want_it.wait(60)
        spool.add(matrix(), make)

    with ThreadPoolExecutor(6) as pool:
        for added in [pool.submit(want) for _ in range(6)]:
            added.result()
    assert len(made) == 1


def add_at_once(root: Path, log: Path, all_want_it: Barrier) -> None:
    def make() -> Raw:
        with log.open("a") as file:
            file.write("made\n")
        return filled(matrix())()

    all_want_it.wait(60)
    Spool(root, GIB).add(matrix(), make)


def test_what_processes_want_at_once_is_made_once(tmp_path: Path) -> None:
    context = get_context("forkserver")
    log, all_want_it = tmp_path / "log", context.Barrier(2)
    processes = [
        context.Process(target=add_at_once, args=(tmp_path / "spool", log, all_want_it))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert log.read_text() == "made\n"
