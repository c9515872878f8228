"""What the workers of tests/service/workers/test_pool.py run."""

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
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # Whatever reports crashes, not in a test.
    ctypes.string_at(0)


def leave(_: str) -> None:
    os._exit(3)


def hang(_: str) -> None:
    """Deaf to what asks politely."""
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    while True:
        time.sleep(1)


def spin(_: str) -> None:
    while True:
        pass


def sleep(seconds: str) -> None:
    time.sleep(float(seconds))


def eat(megabytes: str) -> None:
    """Memory as Python and its extensions take it."""
    eaten = [bytearray(1 << 20) for _ in range(int(megabytes))]
    assert eaten


def eat_shared(megabytes: str) -> None:
    """Memory that RLIMIT_DATA does not count."""
    shared = mmap.mmap(-1, int(megabytes) << 20)
    for _ in range(int(megabytes)):
        shared.write(bytes(1 << 20))
    time.sleep(60)


def reserve(terabytes: str) -> None:
    """Addresses for phantom tensors, which are not memory."""
    from seedpoint.models.dtypes import BY_NAME

    arena, dtype = Arena(), BY_NAME["uint8"].torch
    for _ in range(int(terabytes)):
        arena.tensor((1 << 40,), (1,), dtype)


def abort(_: str) -> None:
    """As C++ code does that has no memory and does not expect it: std::terminate."""
    os.abort()


def crash_after(argument: str) -> None:
    """As code does that has no memory and does not look whether it was refused.

    The argument is megabytes and a path, which is there when the parent has seen them taken.
    """
    megabytes, _, path = argument.partition(" ")
    eaten = [bytearray(os.urandom(1 << 10)) * (1 << 10) for _ in range(int(megabytes))]
    eventually(Path(path).exists)
    assert eaten
    crash("")


def keep(megabytes: str) -> None:
    """A leak."""
    kept.append(bytes(os.urandom(1 << 10)) * (int(megabytes) << 10))


def refuse(message: str) -> None:
    raise ValueError(message)


def fail(message: str) -> None:
    raise KeyError(message)


def note(text: str) -> None:
    """A temporary file that nobody removes."""
    Path(tempfile.mkdtemp(), "note").write_text(text)


def echo(_: str) -> None:
    """Only what every command answers."""


COMMANDS: dict[str, Callable[[str], None]] = {
    command.__name__: command
    for command in (
        *(die, crash, leave, hang, spin, sleep, eat, eat_shared, reserve, keep),
        *(refuse, fail, echo, note, abort, crash_after),
    )
}


def run(body: bytes) -> bytes:
    """Does what `body` says; answers with its argument and the worker's process id."""
    command, _, argument = body.decode().partition(" ")
    COMMANDS[command](argument)
    return f"{argument} {os.getpid()}".encode()


def warm_up() -> None:
    """There is nothing to warm up."""


TASK = Task(run, warm_up, (ValueError,))
