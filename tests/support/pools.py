"""Pools of the workers of `pool_tasks`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from seedpoint.service.workers.pool import CALLS, Pool
from seedpoint.service.workers.worker import CallLimits
from tests.support.pool_tasks import TASK

MIB = 1 << 20
LIMITS = CallLimits(seconds=60, memory_bytes=256 * MIB)  # Time enough for all that ends by itself.
SHORT = CallLimits(seconds=0.3, memory_bytes=256 * MIB)  # For what never ends.


@asynccontextmanager
async def pool(
    *,
    size: int = 1,
    grace_seconds: float = 60,
    calls_per_worker: int = CALLS,
) -> AsyncIterator[Pool[bytes, bytes]]:
    made = Pool(
        TASK,
        size=size,
        limits=LIMITS,
        grace_seconds=grace_seconds,
        calls_per_worker=calls_per_worker,
    )
    made.start()
    try:
        yield made
    finally:
        await asyncio.to_thread(made.close)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Inside, the process does nothing: what it is given it is at until the block ends."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]
