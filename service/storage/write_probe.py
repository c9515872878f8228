"""Whether the store can be written now: tried for real, and not more than now and again."""

from __future__ import annotations

import asyncio
import time

from seedpoint.service.errors import Refusal
from seedpoint.service.storage.directory import Store

PROBE_SECONDS = 3.0


class Probe:
    """Knows why a store cannot be written. Belongs to one event loop.

    What was found is believed for `PROBE_SECONDS`; whoever asks meanwhile, or while it is
    being tried, gets the same.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._reason: str | None = None
        self._until = 0.0

    async def reason(self) -> str | None:
        """Why nothing can be stored; None when it can."""
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
