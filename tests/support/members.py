"""What processes of tests/service/server/test_supervisor.py do, and an ordinary end for each."""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socket
from types import FrameType


def fail(_: str, __: list[socket], ___: Connection) -> None:
    """As an application that does not start."""
    sys.exit(3)


def deaf(_: str, __: list[socket], pipe: Connection) -> None:
    """Has the supervisor told to end, and does not end when it is told to; but says that."""

    def told(_number: int, _frame: FrameType | None) -> None:
        os.kill(os.getppid(), signal.SIGINT)

    signal.signal(signal.SIGTERM, told)
    os.write(pipe.fileno(), b".")
    os.kill(os.getppid(), signal.SIGINT)
    while True:
        signal.pause()


def hang_once(path: str, _: list[socket], pipe: Connection) -> None:
    """The first stops, once it has said that it runs; its successor has the supervisor end."""
    os.write(pipe.fileno(), b".")
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:
        os.kill(os.getppid(), signal.SIGTERM)
        signal.pause()
    os.kill(os.getpid(), signal.SIGSTOP)


def end(_: str, __: list[socket], ___: Connection) -> None:
    """Has the supervisor told to end twice, and waits to be told."""
    os.kill(os.getppid(), signal.SIGTERM)
    os.kill(os.getppid(), signal.SIGTERM)
    signal.pause()
