"""Where worker processes come from: a server that has imported what they need, and forks."""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import BaseContext

PRELOAD = ("service.planning",)


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
