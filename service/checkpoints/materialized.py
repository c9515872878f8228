"""The tensors of platform-bound checkpoints: made once by workers, and kept in the store.

A host where they are serves them, whatever it is. Where they are gone or damaged they are made
again, which only a host can whose bits are the plan's.
"""

from __future__ import annotations

import asyncio

from seedpoint.models.errors import PlatformMismatch
from seedpoint.models.generation.evaluator import ReadBytes
from seedpoint.models.plan.plan import Plan
from seedpoint.service.concurrency.single_flight import Flights
from seedpoint.service.errors import CorruptStore
from seedpoint.service.logger import get_logger
from seedpoint.service.planning.planner_pools import Builders
from seedpoint.service.storage.checksums import BlockFile, Damaged
from seedpoint.service.storage.directory import Store

log = get_logger("seedpoint.bound")

Version = tuple[int, int] | None
LOST = (Damaged, FileNotFoundError)  # Whatever else keeps a file from being read, it is sound.


class BoundTensors:
    """Has tensors made that are not in the store, or are damaged. Belongs to one event loop."""

    def __init__(self, builders: Builders, store: Store) -> None:
        self._builders = builders
        self._store = store
        self._making: Flights[str, None] = Flights()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __contains__(self, id_: str) -> bool:
        """Whether they are being made."""
        return id_ in self._making

    async def ensure(self, plan: Plan) -> None:
        """Has the tensors of `plan` made, unless they are there and look whole.

        Raises PlatformMismatch, CorruptStore, StoreUnreadable, and what workers and their pools
        raise.
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
        """What reads the tensors, which `ensure` has ensured, in any thread but the loop's.

        What turns out to be damaged is made again meanwhile, and everybody waits for it.
        It raises what `ensure` raises. Raises CorruptStore, StoreUnreadable.
        """
        try:
            if (file := self._open(plan)) is None:
                raise CorruptStore(f"the tensors of checkpoint {plan.id} have just gone")
        except LOST as error:
            raise self.corrupt(plan, error) from error
        return _Reader(self, plan, file)

    def mend(self, plan: Plan, version: Version, error: Exception) -> None:
        """As `ensure`, from another thread: reading that version of the file gave `error`."""
        assert self._loop is not None
        mending = self._mend(plan, version, error)
        asyncio.run_coroutine_threadsafe(mending, self._loop).result()

    def read(self, file: BlockFile, start: int, stop: int) -> bytes | memoryview:
        """Bytes [start, stop) of it. Raises what is in LOST, and StoreUnreadable."""
        return self._store.read_materialized(file, start, stop)

    def version(self, plan: Plan) -> Version:
        """Of the file: another whenever it is written."""
        return self._store.materialized_version(plan.id)

    def _open(self, plan: Plan) -> BlockFile | None:
        return self._store.materialized(plan.id, sum(tensor.nbytes for tensor in plan.tensors))

    async def _make(self, plan: Plan) -> None:
        await self._making.join(plan.id, lambda: self._builders.materialize(plan))

    async def _mend(self, plan: Plan, version: Version, error: Exception) -> None:
        """Has them made again, unless somebody has done so since."""
        if await asyncio.to_thread(self.version, plan) != version:
            return
        log.warning("tensors are to be made again", id=plan.id, reason=str(error))
        try:
            await self._make(plan)
        except PlatformMismatch as mismatch:
            if version is None:  # They are just gone.
                raise
            raise self.corrupt(plan, error, f"; {mismatch}") from mismatch

    def corrupt(self, plan: Plan, error: Exception, why: str = "") -> CorruptStore:
        """What is raised when they are damaged, and `why` they cannot be made again."""
        remedy = f"restore it from a backup, or from a host that can make it again{why}"
        return self._store.corrupt_materialized(plan.id, error, remedy)


class _Reader:
    """Reads the tensors of one plan from the store. Thread-safe."""

    def __init__(self, tensors: BoundTensors, plan: Plan, file: BlockFile) -> None:
        self._tensors = tensors
        self._plan = plan
        self._file = file

    def __call__(self, start: int, stop: int) -> bytes | memoryview:
        """Bytes [start, stop) of all tensors, in the plan's order."""
        version = self._tensors.version(self._plan)
        try:
            return self._tensors.read(self._file, start, stop)
        except LOST as error:
            self._tensors.mend(self._plan, version, error)
        try:
            return self._tensors.read(self._file, start, stop)
        except LOST as error:
            raise self._tensors.corrupt(self._plan, error) from error
