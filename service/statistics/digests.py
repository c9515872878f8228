"""SHA-256 of representations: computed when somebody asks, once, and then kept."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from functools import partial

from seedpoint.service.concurrency.cache import LRU
from seedpoint.service.concurrency.rooms import Rooms
from seedpoint.service.concurrency.single_flight import Full
from seedpoint.service.concurrency.turns import Turns
from seedpoint.service.generation.engine import Engine
from seedpoint.service.http.streaming_response import Body
from seedpoint.service.statistics.progress import Board, Document, Progress
from seedpoint.service.storage.directory import Store

KEPT_IN_MEMORY = 20_000
KEPT_OF_ONE = 2_000  # Every slice of a tensor is a representation of its own.


class Digests:
    """The digests of checkpoints' representations, by entity tag. Belongs to one event loop.

    At most `most` of large ones are being computed or wait for their turn (`Rooms`). What
    nobody asks for during `lease_seconds` is given up.
    """

    def __init__(
        self, engine: Engine, store: Store, turns: Turns, *, most: int, lease_seconds: float
    ) -> None:
        self._engine = engine
        self._store = store
        self._running: Rooms[str] = Rooms(most, lease_seconds=lease_seconds)
        self._board = Board(turns)
        self._known: LRU[str, Mapping[str, str]] = LRU(KEPT_IN_MEMORY, lambda kept: 1 + len(kept))
        self._writing = threading.Lock()

    async def known(self, id_: str, etag: str) -> str | None:
        """The SHA-256, hexadecimal, if this process has come to know it."""
        found = self._known.get(id_)
        if found is None:
            found = await self._read(id_)
        return found.get(etag)

    async def get(
        self,
        id_: str,
        etag: str,
        *,
        body: Callable[[], Body],
        size_bytes: int,
        tensors: int,
        wait_seconds: float,
    ) -> str | None:
        """The SHA-256 of `body`, hexadecimal; None when it takes longer, and then it goes on.

        When the call is cancelled, and nobody else waits, it does not; nor does what could
        not be begun for want of room, which depends on how many `tensors` its checkpoint has.
        """
        if (found := (await self._read(id_)).get(etag)) is not None:
            return found

        async def compute() -> str:
            return await self._compute(id_, etag, body, size_bytes)

        with suppress(Full):
            return await self._running.of(size_bytes, tensors).within(wait_seconds, etag, compute)
        return None

    def progress(self, etag: str, size_bytes: int) -> Document:
        """How far the computation is."""
        if etag in self._running:
            return self._board.document(etag)
        return Progress(size_bytes).document

    async def add(self, id_: str, found: Mapping[str, str]) -> None:
        """Keeps digests that are known now."""
        self._known.put(id_, await asyncio.to_thread(self._write, id_, found))

    def close(self) -> None:
        """Cancels what is being computed."""
        self._running.cancel()

    async def _compute(self, id_: str, etag: str, body: Callable[[], Body], size_bytes: int) -> str:
        digest = hashlib.sha256()
        async with self._board.showing(etag, size_bytes) as progress, aclosing(body()) as chunks:
            async for chunk in chunks:
                await self._engine.run(partial(digest.update, chunk), background=True)
                await progress.add(len(chunk))
        await self.add(id_, {etag: digest.hexdigest()})
        return digest.hexdigest()

    async def _read(self, id_: str) -> Mapping[str, str]:
        found = await asyncio.to_thread(self._stored, id_)
        self._known.put(id_, found)
        return found

    def _write(self, id_: str, found: Mapping[str, str]) -> Mapping[str, str]:
        with self._writing:
            every = list({**self._stored(id_), **found}.items())[-KEPT_OF_ONE:]
            self._store.put_digests(id_, json.dumps(dict(every)).encode())
        return dict(every)

    def _stored(self, id_: str) -> dict[str, str]:
        document = self._store.digests(id_)
        found: dict[str, str] = json.loads(document) if document else {}
        return found


def field(digest: str) -> str:
    """The value of a `Repr-Digest` field (RFC 9530) for a hexadecimal SHA-256."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(digest)).decode()}:"
