"""Target functions for the member processes in tests/service/server/test_supervisor.py."""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socket
from types import FrameType


def fail(_: str, __: list[socket], ___: Connection) -> None:
    """Exit like an application that fails to start."""
    sys.exit(3)


def deaf(_: str, __: list[socket], pipe: Connection) -> None:
    """Interrupt the supervisor, then answer SIGTERM with another interrupt instead of ending."""

    def told(_number: int, _frame: FrameType | None) -> None:
        os.kill(os.getppid(), signal.SIGINT)

    signal.signal(signal.SIGTERM, told)
    os.write(pipe.fileno(), b".")
    os.kill(os.getppid(), signal.SIGINT)
    while True:
        signal.pause()


def hang_once(path: str, _: list[socket], pipe: Connection) -> None:
    """Report that it runs, then stop (SIGSTOP); the successor ends the supervisor instead."""
    os.write(pipe.fileno(), b".")
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:
        os.kill(os.getppid(), signal.SIGTERM)
        signal.pause()
    os.kill(os.getpid(), signal.SIGSTOP)


def end(_: str, __: list[socket], ___: Connection) -> None:
    """Send the supervisor SIGTERM twice and wait for its signal."""
    os.kill(os.getppid(), signal.SIGTERM)
    os.kill(os.getppid(), signal.SIGTERM)
    signal.pause()
