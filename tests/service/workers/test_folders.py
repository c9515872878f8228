"""Folders of workers are gone with their service, however that ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seedpoint.service.workers.folders import Folders

KILLED = """
import os, signal, sys
from pathlib import Path
from seedpoint.service.workers.folders import Folders
Path(Folders(Path(sys.argv[1])).make(), "file").write_text("left")
os.kill(os.getpid(), signal.SIGKILL)
"""
LONG_AGO = 1_000_000_000.0


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The root that a killed process has left."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (root,) = tmp_path.iterdir()
    return root


def test_a_folder_goes_with_what_is_in_it_and_the_root_with_the_last(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    for _ in range(2):
        first, second = Path(folders.make()), Path(folders.make())
        (first / "file").write_text("written")
        assert first.parent == second.parent != tmp_path
        folders.remove(str(first))
        assert list(first.parent.iterdir()) == [second]
        folders.remove(str(second))
        assert not list(tmp_path.iterdir())


def test_a_root_that_somebody_else_removed_is_made_again(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    shutil.rmtree(Path(folders.make()).parent)
    assert Path(folders.make()).is_dir()


def test_a_root_is_locked_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweeper holds the lock of the new root for a moment, and never gets it again."""
    is_held, has_left = threading.Event(), threading.Event()
    swept: list[int] = []
    make = tempfile.mkdtemp

    def watched(*, dir: Path, prefix: str | None = None) -> str:
        if dir == tmp_path:
            root = make(prefix=prefix, dir=dir)
            swept.append(os.open(root, os.O_RDONLY))
            fcntl.flock(swept[0], fcntl.LOCK_EX)
            is_held.set()
            return root
        assert has_left.is_set()
        with pytest.raises(BlockingIOError):
            fcntl.flock(swept[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        return make(dir=dir)

    monkeypatch.setattr(tempfile, "mkdtemp", watched)
    with ThreadPoolExecutor(1) as others:
        folder = others.submit(Folders(tmp_path).make)
        assert is_held.wait(60)
        has_left.set()
        fcntl.flock(swept[0], fcntl.LOCK_UN)
        assert Path(folder.result()).is_dir()
    os.close(swept[0])


def test_a_killed_process_s_are_removed_by_the_next(tmp_path: Path, killed: Path) -> None:
    os.utime(killed, (LONG_AGO, LONG_AGO))
    folder = Path(Folders(tmp_path).make())
    assert not killed.exists() and folder.exists()


def test_those_in_use_new_ones_and_others_stay(tmp_path: Path, killed: Path) -> None:
    used = Folders(tmp_path)
    folder, other = Path(used.make()), tmp_path / "other"
    other.mkdir()
    (tmp_path / "seedpoint-workers-link").symlink_to(other, target_is_directory=True)
    for path in (folder.parent, other):
        os.utime(path, (LONG_AGO, LONG_AGO))
    Folders(tmp_path).make()
    assert folder.exists() and other.exists() and killed.exists()
