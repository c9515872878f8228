"""Kernels compiled by Numba, and a cache on disk that never gives a stale one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

MODELS = Path(__file__).parent.parent


def _digest() -> str:
    """SHA-256 of every source that a kernel may be compiled from."""
    kernels = (MODELS / "statistics" / name for name in ("moments.py", "order_kernels.py"))
    sources = sorted([*MODELS.glob("stream/*.py"), *kernels])
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()


DIGEST = _digest()


def kernel(function: Function) -> Function:
    """`function` compiled without the GIL and without fastmath, or loaded from the cache.

    Numba stamps what it caches with the kernel's own file alone, and would go on using it
    after a change in a file that the kernel calls; here the stamp is of all of them, so that
    an upgrade can never run old code.
    """
    dispatcher = cast(Any, njit(nogil=True, cache=True, error_model="numpy")(function))
    dispatcher._cache._cache_file._source_stamp = DIGEST
    return cast(Function, dispatcher)
