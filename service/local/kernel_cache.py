"""Compilation of kernels once for all processes of a machine, behind a lock."""

from __future__ import annotations

import fcntl
import hashlib
import platform
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numba
from llvmlite import binding  # type: ignore[import-untyped]

from seedpoint.models.stream import kernels
from seedpoint.models.stream.jit import DIGEST
from seedpoint.models.stream.used_kernels import compile_kernel


def compile_once(names: Collection[str]) -> None:
    """Compile kernels (`used_kernels`), or load them from Numba's cache.

    The first process compiles while the others wait and then load. Where files cannot be locked,
    every process compiles for itself.
    """
    folder = _folder()
    if folder is None:
        missing = sorted(names)
    else:
        marks = {name: folder / f"seedpoint-{_key(name)}.compiled" for name in sorted(names)}
        missing = [name for name, mark in marks.items() if not mark.exists()]
    if not missing:
        return
    with _locked(folder):
        for name in missing:
            compile_kernel(name)
            if folder is not None:
                marks[name].touch()


def _folder() -> Path | None:
    """Return the folder of Numba's cache, None if it has no writable one."""
    path = getattr(kernels.words, "_cache").cache_path  # noqa: B009 - typed as the function
    return None if path is None else Path(path)


def _key(name: str) -> str:
    """Return a name for a kernel's files: they fit one source, Python, Numba and processor."""
    host = (binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten())
    parts = (name, DIGEST, numba.__version__, platform.python_version(), *host)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@contextmanager
def _locked(folder: Path | None) -> Iterator[None]:
    """Hold the machine's lock on the cache, if there is one."""
    if folder is None:
        yield
        return
    with (folder / "seedpoint.lock").open("w") as file:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
