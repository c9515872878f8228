"""Where worker processes come from: a server that has imported what they need, and forks."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from typing import Any

_PR_SET_PDEATHSIG = 1  # prctl(2)
# Torch's compiler is what it imports, for a second or two, when a Lazy layer is first called.
# What is not installed is passed over.
PRELOAD = (
    *("seedpoint.service.planning.task", "torch._dynamo", "seedpoint.service.planning.preload"),
    *("transformers.modeling_utils", "transformers.generation.utils"),
    *("transformers.models.auto.modeling_auto", "transformers.models.llama.modeling_llama"),
)


def context() -> BaseContext:
    """Processes that start in milliseconds once the server is up, where there is one."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(list(PRELOAD))
    return forking


def start() -> None:
    """Starts the server, which goes on importing while this process does."""
    if context().get_start_method() == "forkserver":
        forkserver.ensure_running()


def end_with_service() -> None:
    """Called in a worker, has it killed when the service ends: at work, it does not notice.

    The server that it was forked from ends when nobody holds the writing end of a pipe any
    more, which it has given to its children too, so that they could start some of their own.
    """
    server: Any = forkserver._forkserver
    if (held := getattr(server, "_forkserver_alive_fd", None)) is not None:
        os.close(held)
        server._forkserver_alive_fd = None
    end_with_parent()


def end_with_parent() -> None:
    """Called in a process, has it killed when its parent ends, however that comes about."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
