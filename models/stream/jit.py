"""Kernels compiled by Numba, with a disk cache that never returns a stale one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

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
    dispatcher = cast(Any, njit(nogil=True, cache=True, error_model="numpy")(function))
    dispatcher._cache._cache_file._source_stamp = DIGEST
    return cast(Function, dispatcher)
