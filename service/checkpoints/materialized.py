"""Tensors of platform-bound checkpoints, generated once by workers and kept in the store.

Any host that has the tensors serves them. Missing or damaged tensors are generated again, which
only a host that reproduces the plan's bits can do.
"""

from __future__ import annotations

import asyncio

from seedpoint.models.errors import PlatformMismatch
from seedpoint.models.generation.evaluator import ReadBytes
from seedpoint.models.plan.plan import Plan
from seedpoint.service.concurrency.single_flight import SingleFlight
from seedpoint.service.errors import CorruptStore
from seedpoint.service.logger import get_logger
from seedpoint.service.planning.planner_pools import Builders
from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.checksums import BlockFile
from seedpoint.service.storage.store import Damaged, Version

log = get_logger("seedpoint.bound")

LOST = (Damaged, FileNotFoundError)  # After any other error the file itself is intact.


class BoundTensors:
    """Generator of missing or damaged tensors in the store. Belongs to one event loop."""

    def __init__(self, builders: Builders, store: CheckpointStore) -> None:
        self._builders = builders
        self._store = store
        self._making: SingleFlight[str, None] = SingleFlight()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __contains__(self, id_: str) -> bool:
        """Return whether the tensors are being generated."""
        return id_ in self._making

    async def ensure(self, plan: Plan) -> None:
        """Generate the tensors of `plan` unless the store has them and they look complete.

        Raises: PlatformMismatch, CorruptStore, StoreUnreadable, and the errors of workers and
        their pools.
        """
        self._loop = asyncio.get_running_loop()
        version = await asyncio.to_thread(self._store.materialized_version, plan.id)
        try:
            found = await asyncio.to_thread(self._open, plan)
        except LOST as error:
            await self._mend(plan, version, error)
        else:
            if found is None:
                await self._make(plan)

    def reader(self, plan: Plan) -> ReadBytes:
        """Return a reader of the tensors, for any thread but the loop's; call `ensure` first.

        The reader generates damaged tensors again while its callers wait, and raises the errors
        of `ensure`.

        Raises: CorruptStore, StoreUnreadable.
        """
        try:
            if (file := self._open(plan)) is None:
                raise CorruptStore(f"the tensors of checkpoint {plan.id} were just removed")
        except LOST as error:
            raise self.corrupt(plan, error) from error
        return _Reader(self, plan, file)

    def mend(self, plan: Plan, version: Version | None, error: Exception) -> None:
        """Generate the tensors again after `error` in reading `version` of the file.

        Call it from a thread other than the loop's.
        """
        assert self._loop is not None
        mending = self._mend(plan, version, error)
        asyncio.run_coroutine_threadsafe(mending, self._loop).result()

    def version(self, plan: Plan) -> Version | None:
        """Return the version of the file, which changes whenever the file is written."""
        return self._store.materialized_version(plan.id)

    def _open(self, plan: Plan) -> BlockFile | None:
        return self._store.materialized(plan.id, sum(tensor.nbytes for tensor in plan.tensors))

    async def _make(self, plan: Plan) -> None:
        await self._making.join(plan.id, lambda: self._builders.materialize(plan))

    async def _mend(self, plan: Plan, version: Version | None, error: Exception) -> None:
        """Generate the tensors again unless the file is newer than `version`."""
        if await asyncio.to_thread(self.version, plan) != version:
            return
        log.warning("tensors are generated again", id=plan.id, reason=str(error))
        try:
            await self._make(plan)
        except PlatformMismatch as mismatch:
            if version is None:  # The file was missing, not damaged.
                raise
            raise self.corrupt(plan, error, f"; {mismatch}") from mismatch

    def corrupt(self, plan: Plan, error: Exception, why: str = "") -> CorruptStore:
        """Return the exception for damaged tensors; `why` they cannot be generated again."""
        remedy = f"restore it from a backup, or from a host that can make it again{why}"
        return self._store.corrupt_materialized(plan.id, error, remedy)


class _Reader:
    """Reader of one plan's tensors in the store. Thread-safe."""

    def __init__(self, tensors: BoundTensors, plan: Plan, file: BlockFile) -> None:
        self._tensors = tensors
        self._plan = plan
        self._file = file

    def __call__(self, start: int, stop: int) -> bytes | memoryview:
        """Return bytes [start, stop) of all tensors, in the plan's order."""
        version = self._tensors.version(self._plan)
        try:
            return self._file.read(start, stop)
        except LOST as error:
            self._tensors.mend(self._plan, version, error)
        try:
            return self._file.read(start, stop)
        except LOST as error:
            raise self._tensors.corrupt(self._plan, error) from error
