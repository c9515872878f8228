"""State of one running service: its parts, their start and their shutdown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from seedpoint.models.generation.whole_tensors import Wholes
from seedpoint.models.stream import cpu, orthogonal
from seedpoint.service.checkpoints.dcp import DcpDirectories
from seedpoint.service.checkpoints.registry import Checkpoints
from seedpoint.service.concurrency.admission import Admission
from seedpoint.service.concurrency.cache import LatestCache
from seedpoint.service.devices import resolve_device
from seedpoint.service.generation.engine import Engine
from seedpoint.service.generation.whole_tensor_task import WholeTensorWorkers
from seedpoint.service.generation.whole_tensors import WholeTensorCache, WholeTensors
from seedpoint.service.http.shared_documents import SharedDocuments
from seedpoint.service.logger import get_logger
from seedpoint.service.metrics import Metrics
from seedpoint.service.planning.planner_pools import Builders
from seedpoint.service.settings import Settings
from seedpoint.service.statistics.checkpoint import Statistics, warm_up
from seedpoint.service.statistics.digests import Digests
from seedpoint.service.storage.blob_files import BlobFiles
from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.clock import Clock, system
from seedpoint.service.storage.directory import DirectoryStore
from seedpoint.service.storage.eviction import Policy
from seedpoint.service.storage.retention import Retention
from seedpoint.service.storage.uploads import Uploads
from seedpoint.service.storage.write_probe import Probe

log = get_logger("seedpoint.state")

UNKEPT_BYTES = 16 << 20  # Memory for documents that the store could not write to disk.
READY_SECONDS = 0.2  # Interval between checks whether the workers are warm.


@dataclass
class State:
    """Parts of one service. Belongs to one event loop."""

    settings: Settings
    metrics: Metrics
    store: CheckpointStore
    uploads: Uploads
    retention: Retention
    builders: Builders
    engine: Engine
    checkpoints: Checkpoints
    digests: Digests
    statistics: Statistics
    documents: SharedDocuments
    dcp: DcpDirectories = field(default_factory=DcpDirectories)
    kernels_ready: asyncio.Event = field(default_factory=asyncio.Event)
    probe: Probe = field(init=False)

    def __post_init__(self) -> None:
        self.probe = Probe(self.store)

    @classmethod
    def of(cls, settings: Settings, *, clock: Clock = system) -> State:
        metrics = Metrics()
        objects = DirectoryStore(settings.store)
        store = CheckpointStore(objects, clock=clock, unkept=LatestCache(UNKEPT_BYTES, len))
        blob_files = BlobFiles(objects, clock=clock)
        uploads = Uploads(objects, store, blob_files, settings.blob_bytes, clock=clock)
        builders = Builders.of(settings, objects)
        builders.measure(metrics)
        cache = WholeTensorCache()
        workers = WholeTensorWorkers(objects, settings.spool_bytes, settings.threads)
        engine = Engine(
            threads=settings.threads,
            chunk_bytes=settings.chunk_bytes,
            look_ahead=settings.look_ahead_chunks,
            ahead_bytes=settings.shared_ahead_bytes,
            pinned=settings.pin_threads,
            whole_tensors=WholeTensors(cache, workers, metrics, waiting=settings.whole_queue),
        )
        checkpoints = Checkpoints(
            builders,
            store,
            blob_files,
            metrics,
            Wholes(cache),
            device=resolve_device(settings.device),
            cached_tensors=settings.cached_tensors,
            clock=clock,
        )
        turns = Admission(settings.statistics_at_once, revocable=True)
        at_once = settings.statistics_at_once + settings.statistics_queue
        lease_seconds = settings.statistics_lease_seconds
        digests = Digests(engine, store, turns, at_once=at_once, lease_seconds=lease_seconds)
        documents = SharedDocuments()
        statistics = Statistics(
            *(engine, store, digests, metrics, turns, documents),
            at_once=at_once,
            lease_seconds=lease_seconds,
            digested_bytes=settings.unasked_digest_bytes,
            unasked_bytes=settings.unasked_statistics_bytes,
        )
        retention = Retention(store, _policy(settings), checkpoints.retire, clock=clock)
        return cls(
            *(settings, metrics, store, uploads, retention, builders),
            *(engine, checkpoints, digests, statistics, documents),
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the parts for the duration of the block; they warm up in the background."""
        self.store.check_usable()
        self.builders.start()
        background = [
            asyncio.create_task(self._warm_up()),
            asyncio.create_task(self.checkpoints.uses.run()),
            asyncio.create_task(self.retention.run()),
            asyncio.create_task(self._tell_when_ready()),
        ]
        try:
            yield
        finally:
            for task in background:
                task.cancel()
            self.statistics.close()
            self.digests.close()
            await asyncio.to_thread(self.builders.close)
            await asyncio.to_thread(self.engine.close)

    async def not_ready(self) -> list[str]:
        """Return the reasons why the service is not ready; empty if it is."""
        missing = [] if self.builders.warm else ["worker processes are starting"]
        if not self.kernels_ready.is_set():
            missing.append("kernels are being compiled")
        if (reason := await self.probe.reason()) is not None:
            missing.append(reason)
        return missing

    async def _tell_when_ready(self) -> None:
        """Log `ready` once, when the kernels and the workers are warm."""
        await self.kernels_ready.wait()
        while not self.builders.warm:  # noqa: ASYNC110 - workers get warm in threads
            await asyncio.sleep(READY_SECONDS)
        log.info("ready")

    async def _warm_up(self) -> None:
        try:
            await self.engine.run(cpu.warm_up)
            await self.engine.run(warm_up)
            await self.engine.run(orthogonal.warm_up)
        except Exception:
            log.exception("the kernels did not compile")
            raise
        self.kernels_ready.set()


def _policy(settings: Settings) -> Policy:
    return Policy(
        settings.store_max_age_seconds, settings.store_max_bytes, settings.cache_max_bytes
    )
