"""Fork server of the worker processes, which imports their modules once and forks."""

from __future__ import annotations

import atexit
import ctypes
import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1  # prctl(2)
# Modules that workers need; those that are not installed are skipped. torch imports its compiler,
# which takes a second or two, when a Lazy layer is first called.
PRELOAD = (
    *("seedpoint.service.planning.task", "torch._dynamo", "seedpoint.service.planning.preload"),
    *("transformers.modeling_utils", "transformers.generation.utils"),
    *("transformers.models.auto.modeling_auto", "transformers.models.llama.modeling_llama"),
)


def context() -> BaseContext:
    """Return the context that starts processes: with a fork server, or `spawn` if there is none.

    A running fork server starts a process in milliseconds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(list(PRELOAD))
    return forking


def start() -> None:
    """Start the server, which imports concurrently with this process."""
    if context().get_start_method() == "forkserver":
        forkserver.ensure_running()


def end_with_service() -> None:
    """Have this worker killed when the service ends, which a busy worker does not notice.

    The fork server ends when no process holds the writing end of its pipe. It gives that end to
    its children too, so that they can start children of their own; this worker closes it.
    """
    server: Any = forkserver._forkserver
    if (held := getattr(server, "_forkserver_alive_fd", None)) is not None:
        os.close(held)
        server._forkserver_alive_fd = None
    end_with_parent()


def end_with_parent() -> None:
    """Have this process killed when its parent ends for whatever reason; on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def end_at_once(status: int) -> NoReturn:
    """End this process without the interpreter's own end, which takes seconds with torch."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def end_at_once_as_server() -> None:
    """Called while the server imports, has it end without delay when nobody needs it any more."""
    atexit.register(_end_if_server)


def _end_if_server() -> None:
    server: Any = forkserver._forkserver
    is_client = getattr(server, "_forkserver_alive_fd", None) is not None
    if getattr(server, "_forkserver_address", None) is not None and not is_client:
        end_at_once(0)
