"""Real service on loopback: uvicorn in a thread, worker processes, a store on disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from seedpoint.service.app import create_app
from seedpoint.service.server.uvicorn_server import Server
from seedpoint.service.settings import Settings
from seedpoint.service.state import State
from seedpoint.service.storage.clock import Clock, system
from tests.support.waiting import eventually

R = TypeVar("R")

START_SECONDS = 90


@dataclass
class Running:
    """Service at `url` with its parts in `state`."""

    url: str
    port: int
    state: State
    http: httpx.Client
    stop: Callable[[], None]
    loop: asyncio.AbstractEventLoop

    def within(self, work: Coroutine[Any, Any, R]) -> R:
        """Run `work` in the service's event loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    @contextmanager
    def holding_engine(self) -> Iterator[None]:
        """Occupy every engine thread, so that nothing is generated until the block ends."""
        engine, go = self.state.engine, threading.Event()
        at_it = threading.Semaphore(0)

        def hold() -> None:
            at_it.release()
            go.wait(100)

        for _ in range(engine.threads):
            asyncio.run_coroutine_threadsafe(engine.run(hold), self.loop)
        for _ in range(engine.threads):
            assert at_it.acquire(timeout=60)
        try:
            yield
        finally:
            go.set()

    def issue(self, spec: dict[str, Any], **headers: str) -> httpx.Response:
        """POST `spec`, without statistics unless `headers` set another `Prefer`."""
        wanted = {"Prefer": "return=minimal"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return self.http.post("/v1/checkpoints", json=spec, headers=wanted)

    def generated(self) -> float:
        """Return the number of elements generated so far."""
        return self.metric("seedpoint_generated_elements_total")

    def metric(self, name: str) -> float:
        """Return the value of a metric without labels."""
        lines = self.http.get("/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(name + " "))


def run_service(settings: Settings, *, ready: bool = True, clock: Clock = system) -> Running:
    """Start a service; wait until it is ready if `ready`."""
    app = create_app(settings, clock=clock)
    own = {"host": "127.0.0.1", "port": 0, "shutdown_seconds": 5}
    server = Server(app, settings.model_copy(update=own))
    runner = asyncio.Runner(loop_factory=server.config.get_loop_factory())

    def run() -> None:
        with runner:
            runner.run(server.serve())

    thread = threading.Thread(target=run, name="uvicorn", daemon=True)
    thread.start()
    eventually(
        lambda: server.started or not thread.is_alive(), "uvicorn did not start", START_SECONDS
    )
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    # One id for all requests, so that the headers of two responses can be compared.
    named = {"X-Request-Id": "test"}
    http = httpx.Client(base_url=url, timeout=60, trust_env=False, headers=named)

    def stop() -> None:
        http.close()
        server.should_exit = True
        thread.join(90)
        assert not thread.is_alive(), "the service did not stop"

    running = Running(url, port, app.state.seedpoint, http, stop, runner.get_loop())
    if ready:
        eventually(
            lambda: http.get("/readyz").status_code == 200,
            "the service is not ready",
            START_SECONDS,
        )
    return running


def mlp(seed: int = 0, hidden: int = 256) -> dict[str, Any]:
    """Return the spec of an MLP with `hidden` units in its hidden layer."""
    layers = [
        {"name": "hidden", "type": "Linear", "in_features": 20, "out_features": hidden},
        {"name": "activation", "type": "ReLU"},
        {"name": "output", "type": "Linear", "in_features": hidden, "out_features": 10},
    ]
    return {"architecture": {"type": "Sequential", "layers": layers}, "init": {"seed": seed}}
