"""Lists the modules that a request enters: `python -m benchmarks.trace_request`.

A service runs in this process with a profile function in every thread. A GET of a range and a POST
are sent to it twice: the first answer warms it up, the second is traced. A module counts as entered
when one of its functions is called from Python; what one compiled kernel calls of another leaves no
trace. The planning worker is a process of its own; its part of a POST is repeated in this process
and listed apart.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from seedpoint.models.stream import cpu, orthogonal
from seedpoint.service.planning.task import PlanBody, Planner
from seedpoint.service.server.uvicorn_server import Server
from seedpoint.service.settings import Settings
from seedpoint.service.statistics.checkpoint import warm_up
from seedpoint.service.storage.directory import DirectoryStore
from seedpoint.service.workers.pool import Job

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("models", "service", "src")
TIMED = ("service/http/stalled_clients.py",)  # Entered once a second, whatever is requested.
START_SECONDS = 300
SETTLE_SECONDS = 1.0  # what a request started in the background ends before the next is traced


class Tracer:
    """Counts of calls by module, in the order in which the modules are first entered."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.is_recording = False
        self._modules: dict[str, str | None] = {}

    def install(self) -> None:
        """Trace this thread and every thread that starts from now on."""
        threading.setprofile(self._event)
        sys.setprofile(self._event)

    @contextmanager
    def recording(self) -> Iterator[Mapping[str, int]]:
        """Count calls inside the block; the counts are complete at its end."""
        self.calls = {}
        self.is_recording = True
        try:
            yield self.calls
        finally:
            self.is_recording = False

    def _event(self, frame: FrameType, event: str, _: Any) -> None:
        if not self.is_recording or event != "call" or frame.f_code.co_name == "<module>":
            return
        module = self._module(frame.f_code.co_filename)
        if module is not None and not _is_look(frame):
            self.calls[module] = self.calls.get(module, 0) + 1

    def _module(self, filename: str) -> str | None:
        """Return the path of a module of this project, relative to its root."""
        if filename not in self._modules:
            path = Path(filename)
            inside = path.is_absolute() and path.resolve().is_relative_to(ROOT)
            name = path.resolve().relative_to(ROOT).as_posix() if inside else ""
            is_traced = name.startswith(FOLDERS) and name not in TIMED
            self._modules[filename] = name if is_traced else None
        return self._modules[filename]


def _is_look(frame: FrameType | None) -> bool:
    """Return whether a pool's thread only looks at its idle worker, as it does twice a second."""
    if not threading.current_thread().name.startswith("pool-"):
        return False
    while frame is not None and frame.f_code is not Job.run.__code__:
        frame = frame.f_back
    return frame is None


@contextmanager
def serving(settings: Settings) -> Iterator[Server]:
    """Run a service in a thread and yield its server."""
    server = Server.ready(settings)
    runner = asyncio.Runner(loop_factory=server.config.get_loop_factory())
    thread = threading.Thread(target=lambda: runner.run(server.serve()), daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        wait_until(lambda: request(port_of(server), "GET", "/readyz")[0] == 200)
        yield server
    finally:
        server.should_exit = True
        thread.join()


def port_of(server: Server) -> int:
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the service is not ready after {START_SECONDS} seconds")
        time.sleep(0.01)


def request(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    """Return status and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


def spec(number: int) -> bytes:
    """Return a spec whose architecture and seed no other number gives."""
    hidden, output = 256 + number, 10
    layers = [
        {"name": "hidden", "type": "Linear", "in_features": 20, "out_features": hidden},
        {"name": "activation", "type": "ReLU"},
        {"name": "output", "type": "Linear", "in_features": hidden, "out_features": output},
    ]
    architecture = {"type": "Sequential", "layers": layers}
    normal = {"type": "normal", "mean": 0.0, "std": 0.01}
    rules = [{"match": {"parameter": "weight"}, "initializer": normal}]
    init = {"seed": number, "rules": rules}
    return json.dumps({"architecture": architecture, "init": init}).encode()


def post(port: int, number: int, prefer: str) -> dict[str, Any]:
    status, content = request(
        port,
        "POST",
        "/v1/checkpoints",
        spec(number),
        Content_Type="application/json",
        Prefer=prefer,
    )
    assert status == 201, content
    return dict(json.loads(content))


def get_range(port: int, path: str) -> None:
    status, content = request(port, "GET", path, Range="bytes=4096-8191")
    assert (status, len(content)) == (206, 4096)


def traces() -> dict[str, Mapping[str, int]]:
    """Calls by module for each traced request."""
    for compile_kernels in (cpu.warm_up, orthogonal.warm_up, warm_up):
        compile_kernels()  # before tracing, which would slow the compiler down
    tracer = Tracer()
    found: dict[str, Mapping[str, int]] = {}
    with tempfile.TemporaryDirectory(prefix="seedpoint-trace-") as folder:
        settings = Settings(port=0, store=Path(folder), log_level="error", shutdown_seconds=5)
        tracer.install()
        with serving(settings) as server:
            port = port_of(server)
            issued = post(port, 1, "return=minimal")["id"]
            path = f"/v1/checkpoints/{issued}/files/model.safetensors"
            requests: dict[str, Callable[[int], object]] = {
                "GET of a range of 4 KiB": lambda _: get_range(port, path),
                "POST of a new spec, without statistics": lambda n: post(port, n, "return=minimal"),
                "POST of a new spec, with statistics": lambda n: post(port, n, "wait=30"),
            }
            for title, send in requests.items():
                send(len(found) * 2 + 2)
                time.sleep(SETTLE_SECONDS)
                with tracer.recording() as calls:
                    send(len(found) * 2 + 3)
                    # A request is logged after its answer is sent.
                    wait_until(lambda: not server.server_state.tasks)
                found[title] = calls
        # Last, because warming up guards this process as it guards a worker.
        task = Planner(DirectoryStore(settings.store), max_materialized_bytes=0).task()
        task.warm_up()
        task.run(PlanBody(spec(100)))
        with tracer.recording() as calls:
            task.run(PlanBody(spec(101)))
        found["The same POST in a planning worker"] = calls
        sys.setprofile(None)
    return found


def main() -> None:
    for title, calls in traces().items():
        print(f"\n{title}: {len(calls)} modules, {sum(calls.values())} calls")
        for module, count in calls.items():
            print(f"  {count:5} {module}")


if __name__ == "__main__":
    main()
