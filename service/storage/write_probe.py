"""Probe of the store's writability: a real write, at most once in `PROBE_SECONDS`."""

from __future__ import annotations

import asyncio
import time

from seedpoint.service.errors import Refusal
from seedpoint.service.storage.checkpoint_store import CheckpointStore

PROBE_SECONDS = 3.0  # Lifetime of a result.


class Probe:
    """Probe of a store's writability. Belongs to one event loop.

    A result is valid for `PROBE_SECONDS`; callers during that time, or during the write, share it.
    """

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._reason: str | None = None
        self._until = 0.0

    async def reason(self) -> str | None:
        """Return why nothing can be stored; None if the store is writable."""
        async with self._lock:
            if time.monotonic() >= self._until:
                self._reason = await asyncio.to_thread(self._try)
                self._until = time.monotonic() + PROBE_SECONDS
            return self._reason

    def _try(self) -> str | None:
        try:
            self._store.check_writable()
        except Refusal as refusal:
            return str(refusal)
        return None
