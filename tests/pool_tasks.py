"""What the workers of tests/test_service_pool.py run."""

from __future__ import annotations

import os
import signal
import time

from service.workers import Task


def run(body: bytes) -> bytes:
    """Does what `body` says."""
    command, _, argument = body.decode().partition(" ")
    if command == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if command == "exit":
        os._exit(3)
    if command == "sleep":
        time.sleep(float(argument))
    if command == "refuse":
        raise ValueError(argument)
    if command == "fail":
        raise KeyError(argument)
    return f"{argument} {os.getpid()}".encode()


def warm_up() -> None:
    """There is nothing to warm up."""


TASK = Task(run, warm_up, (ValueError,))
