"""Commands for the workers of tests/service/workers/test_pool.py."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from seedpoint.models.tape.phantom import Arena
from seedpoint.service.workers.worker import Task
from tests.support.waiting import eventually

kept: list[object] = []


def die(_: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash(_: str) -> None:
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # No crash reports in tests.
    ctypes.string_at(0)


def leave(_: str) -> None:
    os._exit(3)


def hang(_: str) -> None:
    """Hang with every signal blocked that can be."""
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    while True:
        time.sleep(1)


def spin(_: str) -> None:
    while True:
        pass


def sleep(seconds: str) -> None:
    time.sleep(float(seconds))


def eat(megabytes: str) -> None:
    """Allocate memory as Python and its extensions do."""
    eaten = [bytearray(1 << 20) for _ in range(int(megabytes))]
    assert eaten


def eat_shared(megabytes: str) -> None:
    """Fill shared memory, which RLIMIT_DATA does not count."""
    shared = mmap.mmap(-1, int(megabytes) << 20)
    for _ in range(int(megabytes)):
        shared.write(bytes(1 << 20))
    time.sleep(60)


def reserve(terabytes: str) -> None:
    """Reserve addresses for phantom tensors, which use no memory."""
    from seedpoint.models.dtypes import BY_NAME

    arena, dtype = Arena(), BY_NAME["uint8"].torch
    for _ in range(int(terabytes)):
        arena.tensor((1 << 40,), (1,), dtype)


def abort(_: str) -> None:
    """Abort like C++ code that runs out of memory and does not catch it (std::terminate)."""
    os.abort()


def crash_after(argument: str) -> None:
    """Allocate memory, then crash like code that does not check a failed allocation.

    The argument is megabytes and a path that exists once the parent has seen the allocation.
    """
    megabytes, _, path = argument.partition(" ")
    eaten = [bytearray(os.urandom(1 << 10)) * (1 << 10) for _ in range(int(megabytes))]
    eventually(Path(path).exists)
    assert eaten
    crash("")


def keep(megabytes: str) -> None:
    """Leak memory."""
    kept.append(bytes(os.urandom(1 << 10)) * (int(megabytes) << 10))


def refuse(message: str) -> None:
    raise ValueError(message)


def fail(message: str) -> None:
    raise KeyError(message)


def note(text: str) -> None:
    """Leave a temporary file behind."""
    Path(tempfile.mkdtemp(), "note").write_text(text)


def echo(_: str) -> None:
    """Do nothing: `run` returns the argument."""


COMMANDS: dict[str, Callable[[str], None]] = {
    command.__name__: command
    for command in (
        *(die, crash, leave, hang, spin, sleep, eat, eat_shared, reserve, keep),
        *(refuse, fail, echo, note, abort, crash_after),
    )
}


def run(body: bytes) -> bytes:
    """Run the command in `body`; return its argument, and the worker's process id and parent."""
    command, _, argument = body.decode().partition(" ")
    COMMANDS[command](argument)
    return f"{argument} {os.getpid()} {os.getppid()}".encode()


def warm_up() -> None:
    """Do nothing: no command needs a warm-up."""


TASK = Task(run, warm_up, (ValueError,))
