"""Kernels compiled by Numba, with a disk cache that never returns a stale one."""

from __future__ import annotations

import hashlib
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import config, njit

Function = TypeVar("Function", bound=Callable[..., Any])

MODELS = Path(__file__).parent.parent


def _digest() -> str:
    """Return the SHA-256 of every source file that a kernel may be compiled from."""
    names = ("masses.py", "moments.py", "order_kernels.py")
    kernels = (MODELS / "statistics" / name for name in names)
    formulas = MODELS / "formulas" / "pointwise.py"  # whose constants are compiled in
    sources = sorted([*MODELS.glob("stream/*.py"), *kernels, formulas])
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()


DIGEST = _digest()


def kernel(function: Function) -> Function:
    """Compile `function` without the GIL and without fastmath, or load it from the cache.

    Numba stamps a cached kernel with the kernel's own file only, so it would reuse the kernel after
    a change in a file that the kernel calls. The stamp here covers all of these files: an upgrade
    can never run old code.
    """
    try:
        dispatcher = _compiled(function, cache=True)
    except RuntimeError:  # neither the package's folder nor the user's can be written
        folder = _private_folder()
        if folder is None:
            return cast(Function, _compiled(function, cache=False))
        setattr(config, "CACHE_DIR", str(folder))  # noqa: B010 - Numba defines it at run time
        dispatcher = _compiled(function, cache=True)
    dispatcher._cache._cache_file._source_stamp = DIGEST
    return cast(Function, dispatcher)


def _compiled(function: Callable[..., Any], *, cache: bool) -> Any:
    return njit(nogil=True, cache=cache, error_model="numpy")(function)


def _private_folder() -> Path | None:
    """Return a folder for temporary files that other users can neither read nor write.

    Loading a kernel from the cache runs code, so a folder that another user made first is refused.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            mine = Path(folder).stat().st_uid
        found = Path(tempfile.gettempdir()) / f"seedpoint-kernels-{mine}"
        found.mkdir(mode=0o700, exist_ok=True)
        status = found.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
    return found if private and status.st_uid == mine else None
