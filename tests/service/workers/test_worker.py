"""One worker process, without a pool."""

from __future__ import annotations

from multiprocessing import get_context

from seedpoint.service.workers.worker import Worker
from tests.support.pool_tasks import TASK


def test_memory_that_cannot_be_read_is_no_growth() -> None:
    worker = Worker(get_context("forkserver"), TASK)
    try:
        worker.wait_until_warm()
        assert worker.grown_bytes >= 0
    finally:
        worker.close()
    assert worker.grown_bytes == 0  # its process is gone, and so is what /proc says of it
