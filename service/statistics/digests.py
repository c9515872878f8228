"""SHA-256 of representations, computed once on request and then stored."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial

from cachetools import LRUCache

from seedpoint.service.checkpoints.checkpoint import Checkpoint
from seedpoint.service.concurrency.admission import Admission
from seedpoint.service.generation.byte_source import ByteSource
from seedpoint.service.generation.engine import Engine
from seedpoint.service.statistics.computations import Computations
from seedpoint.service.statistics.progress import Document, Progress
from seedpoint.service.storage.checkpoint_store import CheckpointStore

KEPT_IN_MEMORY = 20_000  # Cache weight: one per checkpoint and one per digest.
KEPT_OF_ONE = 2_000  # Digests stored per checkpoint; every slice is its own representation.


class Digests:
    """Digests of checkpoints' representations, by entity tag. Belongs to one event loop.

    The computations run in `turns`, at most `at_once` large ones at once (`Computations`).
    """

    def __init__(
        self,
        engine: Engine,
        store: CheckpointStore,
        turns: Admission,
        *,
        at_once: int,
        lease_seconds: float,
    ) -> None:
        self._engine = engine
        self._store = store
        self._computations: Computations[str] = Computations(
            turns, at_once=at_once, lease_seconds=lease_seconds
        )
        self._known: LRUCache[str, Mapping[str, str]] = LRUCache(
            KEPT_IN_MEMORY, lambda kept: 1 + len(kept)
        )
        self._writing = threading.Lock()

    async def known(self, id_: str, etag: str) -> str | None:
        """Return the hexadecimal SHA-256 if it is cached, or stored and nothing is cached yet."""
        found = self._known.get(id_)
        if found is None:
            found = await self._read(id_)
        return found.get(etag)

    async def get(
        self, checkpoint: Checkpoint, source: ByteSource, wait_seconds: float
    ) -> str | None:
        """Return the hexadecimal SHA-256 of a checkpoint's `source`; None after `wait_seconds`.

        See `Computations.get`.
        """
        if (found := (await self._read(checkpoint.id)).get(source.etag)) is not None:
            return found
        return await self._computations.get(
            source.etag,
            partial(self._compute, checkpoint.id, source),
            bytes_total=source.size_bytes,
            tensors=len(checkpoint.plan.tensors),
            wait_seconds=wait_seconds,
        )

    def progress(self, source: ByteSource) -> Document:
        """Return the progress of the computation."""
        return self._computations.progress(source.etag, source.size_bytes)

    async def add(self, id_: str, found: Mapping[str, str]) -> None:
        """Store the digests `found`, by entity tag."""
        self._known[id_] = await asyncio.to_thread(self._write, id_, found)

    def close(self) -> None:
        """Cancel all computations."""
        self._computations.close()

    async def _compute(self, id_: str, source: ByteSource, progress: Progress) -> str:
        digest = hashlib.sha256()
        async with aclosing(self._engine.stream(source, priority="background")) as chunks:
            async for chunk in chunks:
                await self._engine.run(partial(digest.update, chunk), priority="background")
                await progress.add(len(chunk))
        await self.add(id_, {source.etag: digest.hexdigest()})
        return digest.hexdigest()

    async def _read(self, id_: str) -> Mapping[str, str]:
        found = await asyncio.to_thread(self._stored, id_)
        self._known[id_] = found
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
    """Return the value of a `Repr-Digest` field (RFC 9530) for a hexadecimal SHA-256."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(digest)).decode()}:"
