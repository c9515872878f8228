"""Errors of calls to worker processes."""

from __future__ import annotations


class CallFailed(Exception):
    """The worker ended before it answered."""


class CallTimeout(CallFailed):
    """The call took longer than its limit, and the worker was killed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the call took longer than {seconds:g} seconds")
        self.seconds = seconds


class CallMemory(CallFailed):
    """The call took more memory than its limit, and the worker has ended."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the call took more than {limit_bytes} bytes of memory")
        self.limit_bytes = limit_bytes


class WorkerDied(CallFailed):
    """The worker ended for another reason; `how` completes "the worker ..."."""

    def __init__(self, how: str) -> None:
        super().__init__(f"the worker {how}")
        self.how = how


class WorkerFailed(RuntimeError):
    """An unexpected exception in a worker, with the worker's traceback."""


class NoWorker(Exception):
    """No worker took the call in time."""
