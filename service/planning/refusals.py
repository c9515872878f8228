"""Refusals of planning, in place of the errors of workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from seedpoint.service.errors import BuildMemory, BuildTimeout, WorkerLost
from seedpoint.service.workers.errors import CallMemory, CallTimeout, WorkerDied


@contextmanager
def planning_refusals() -> Iterator[None]:
    """Raise BuildTimeout, BuildMemory and WorkerLost for a call that failed inside the block."""
    try:
        yield
    except CallTimeout as error:
        message = f"the spec took longer than {error.seconds:g} seconds to plan"
        raise BuildTimeout(message) from None
    except CallMemory as error:
        message = f"the spec took more than {error.limit_bytes} bytes of memory to plan"
        raise BuildMemory(message) from None
    except WorkerDied as error:
        message = f"the worker that planned this spec {error.how}; nothing was issued"
        raise WorkerLost(message) from None
