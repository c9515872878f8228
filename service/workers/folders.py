"""Temporary folders of worker processes, which are removed even after their service was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

PREFIX = "seedpoint-workers-"
SETTLED_SECONDS = 60.0  # A younger root may be one that its service is about to lock.


class Folders:
    """Folders in one root, which this process has locked while there are any.

    The kernel releases the lock however the process ends. Whoever makes a root removes those
    of the same user that nobody has locked; process ids would not tell, where containers share
    a temporary directory. Thread-safe.
    """

    def __init__(self, directory: Path | None = None) -> None:
        """`directory` is the one of the system for temporary files unless given."""
        self._directory = directory
        self._root: Path | None = None
        self._locked = -1  # The descriptor of the root.
        self._lock = threading.Lock()

    def make(self) -> str:
        """Return the path of a new folder."""
        with self._lock:
            if self._root is not None and not self._root.is_dir():
                self._forget()  # Something else removed it, such as a cleaner of /tmp.
            if self._root is None:
                self._begin()
            return tempfile.mkdtemp(dir=self._root)

    def remove(self, folder: str) -> None:
        """Remove a folder and what is in it, and the root with the last one."""
        shutil.rmtree(folder, ignore_errors=True)
        with self._lock, suppress(OSError):  # There are others.
            if self._root is not None:
                self._root.rmdir()
                self._forget()

    def _begin(self) -> None:
        """Make the root and lock it before it is used: unlocked, others may remove it."""
        directory = self._directory or Path(tempfile.gettempdir())
        _sweep(directory)
        root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=directory))
        locked = _opened(root)
        fcntl.flock(locked, fcntl.LOCK_EX)  # A sweeper holds the lock of a new root for a moment.
        self._root, self._locked = root, locked

    def _forget(self) -> None:
        self._root = None
        os.close(self._locked)


def _sweep(directory: Path) -> None:
    """Remove the roots of services that are gone."""
    for root in directory.glob(f"{PREFIX}*"):
        with suppress(OSError):  # It is locked, or another user's, or has just been removed.
            opened = _opened(root)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                status = os.fstat(opened)
                is_settled = abs(time.time() - status.st_mtime) > SETTLED_SECONDS
                if is_settled and status.st_uid == os.geteuid():
                    shutil.rmtree(root, ignore_errors=True)
            finally:
                os.close(opened)


def _opened(root: Path) -> int:
    return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
