"""Client of the Seedpoint service, synchronous and asynchronous; needs httpx only.

Importing `seedpoint_client` imports nothing else; a name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seedpoint_client.async_client import AsyncClient
    from seedpoint_client.checkpoint import Checkpoint
    from seedpoint_client.client import Client
    from seedpoint_client.errors import DigestMismatch, Problem
    from seedpoint_client.flows.progress import Progress

__all__ = ["AsyncClient", "Checkpoint", "Client", "DigestMismatch", "Problem", "Progress"]

_MODULES = {
    "AsyncClient": "async_client",
    "Checkpoint": "checkpoint",
    "Client": "client",
    "DigestMismatch": "errors",
    "Problem": "errors",
    "Progress": "flows.progress",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
