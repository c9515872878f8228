"""What one running service holds: its parts, and their start and end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import structlog

from models.stream import cpu
from service import planning
from service.checkpoints import Checkpoints
from service.devices import resolve_device
from service.engine import Engine
from service.metrics import Metrics
from service.pool import Pool
from service.settings import Settings
from service.statistics import Statistics, warm_up
from service.store import Store

log = structlog.get_logger("seedpoint.state")


@dataclass
class State:
    """The parts of one service. Made for one event loop."""

    settings: Settings
    metrics: Metrics
    store: Store
    pool: Pool[planning.Planned]
    engine: Engine
    checkpoints: Checkpoints
    statistics: Statistics
    kernels_ready: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, settings: Settings) -> State:
        metrics = Metrics()
        store = Store(settings.store)
        pool = Pool(
            planning.task(settings.store, max_materialized_bytes=settings.max_materialized_bytes),
            size=settings.build_workers,
            waiting=settings.build_queue,
            timeout_seconds=settings.build_timeout_seconds,
        )
        engine = Engine(
            threads=settings.threads,
            chunk_bytes=settings.chunk_bytes,
            look_ahead=settings.look_ahead_chunks,
        )
        checkpoints = Checkpoints(
            pool,
            store,
            metrics,
            device=resolve_device(settings.device),
            cached_tensors=settings.cached_tensors,
        )
        statistics = Statistics(engine, store, metrics)
        return cls(settings, metrics, store, pool, engine, checkpoints, statistics)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Starts everything, which warms up in the background; ends everything."""
        self.store.check_writable()
        self.pool.start(planning.PRELOAD)
        warming = asyncio.create_task(self._warm_up())
        try:
            yield
        finally:
            warming.cancel()
            self.statistics.close()
            await asyncio.to_thread(self.pool.close)
            await asyncio.to_thread(self.engine.close)

    async def not_ready(self) -> list[str]:
        """What is still missing before requests are answered at once; empty when nothing is."""
        missing = [] if self.pool.warm else ["worker processes are starting"]
        if not self.kernels_ready.is_set():
            missing.append("kernels are being compiled")
        try:
            await asyncio.to_thread(self.store.check_writable)
        except OSError as error:
            missing.append(f"the store cannot be written: {error.strerror}")
        return missing

    async def _warm_up(self) -> None:
        try:
            await self.engine.run(cpu.warm_up)
            await self.engine.run(warm_up)
        except Exception:
            log.exception("the kernels did not compile")
            raise
        self.kernels_ready.set()
