"""Jobs for threads, each begun once the whole tensors that it needs are ready.

A generating thread never waits for a large QR. The whole tensors of a job are prepared first,
while other streams use the threads, and are held as long as the stream may need them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from seedpoint.models.generation.whole_tensors import Raw, WholeTensor
from seedpoint.service.generation.byte_source import Priority
from seedpoint.service.generation.priority_threads import PriorityThreads
from seedpoint.service.generation.whole_tensors import WholeTensors, is_small

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Job(Generic[R]):
    """Call for a thread, and the whole tensors that it needs."""

    run: Callable[[], R]
    whole_tensors: Sequence[WholeTensor] = ()


class Dispatcher:
    """Dispatcher of one stream's jobs to threads. Belongs to one event loop.

    It prepares one whole tensor at a time, so that a stream never occupies all workers, and holds
    those of the latest job. Without a provider of whole tensors, threads compute them.
    """

    def __init__(
        self, threads: PriorityThreads, provider: WholeTensors | None, priority: Priority
    ) -> None:
        self._threads = threads
        self._provider = provider
        self._priority = priority
        self._preparing = asyncio.Lock()
        self._held: list[Raw] = []

    async def prepare(self, wholes: Iterable[WholeTensor]) -> None:
        """Wait for the first of `wholes` that is not small; only here may a stream be refused.

        Raises: Busy, if too many wait already, and the errors of `ready`.
        """
        if self._provider is not None:
            for whole in _not_small(wholes):
                self._held = [await self._provider.ready(whole, self._priority)]
                return

    def dispatch(self, job: Job[R]) -> Future[R] | asyncio.Task[R]:
        """Queue `job` once its whole tensors are ready; return its future result."""
        wholes = list(_not_small(job.whole_tensors))
        if self._provider is None or not wholes:
            return self._submit(job.run)
        if (held := self._provider.at_hand(wholes)) is not None:
            self._held = held
            return self._submit(partial(_holding, held, job.run))
        task = asyncio.create_task(self._prepared(self._provider, wholes, job))
        task.add_done_callback(_seen)
        return task

    async def _prepared(
        self, provider: WholeTensors, wholes: Sequence[WholeTensor], job: Job[R]
    ) -> R:
        # The stream has begun: it waits as long as it must.
        priority: Priority = "continuing" if self._priority == "first" else self._priority
        async with self._preparing:
            held = [await provider.ready(whole, priority) for whole in wholes]
        self._held = held
        return await asyncio.wrap_future(self._submit(partial(_holding, held, job.run)))

    def _submit(self, run: Callable[[], R]) -> Future[R]:
        return self._threads.submit(run, self._priority)


def _not_small(wholes: Iterable[WholeTensor]) -> Iterable[WholeTensor]:
    return (whole for whole in wholes if not is_small(whole))


def _holding(_: list[Raw], run: Callable[[], R]) -> R:
    return run()


def _seen(task: asyncio.Task[R]) -> None:
    """Retrieve the exception of `task`, so that asyncio does not log an unawaited failure."""
    if not task.cancelled():
        task.exception()
