"""Services started for a benchmark, their memory, and a client that only counts bytes."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class Server:
    """Service on loopback in a process of its own."""

    port: int
    pid: int

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)

    def post(self, path: str, body: Any, accept: str = "application/json") -> tuple[float, int]:
        """Return the seconds from the request to the last byte of the response, and its bytes."""
        connection = self.connect()
        headers = {"Content-Type": "application/json", "Accept": accept}
        start = time.perf_counter()
        connection.request("POST", path, json.dumps(body), headers)
        size = drain(connection.getresponse())
        elapsed = time.perf_counter() - start
        connection.close()
        return elapsed, size


def drain(response: http.client.HTTPResponse) -> int:
    """Read a response into a reused buffer and return its number of bytes."""
    if response.status >= 300:
        raise RuntimeError(f"{response.status}: {response.read()[:500]!r}")
    buffer, total = memoryview(bytearray(BUFFER_BYTES)), 0
    while size := response.readinto(buffer):
        total += size
    return total


@contextmanager
def seedpoint(*flags: str) -> Iterator[Server]:
    """Run `seedpoint serve` with an empty store."""
    command = str(Path(sys.executable).with_name("seedpoint"))
    with (
        tempfile.TemporaryDirectory(prefix="seedpoint-bench-") as store,
        serving([command, "serve", "--store", store, "--log-level", "warning", *flags]) as it,
    ):
        yield it


@contextmanager
def obvious() -> Iterator[Server]:
    """Run the service of benchmarks/obvious.py."""
    uvicorn = [sys.executable, "-m", "uvicorn", "benchmarks.obvious:app", "--log-level", "warning"]
    with serving(uvicorn) as it:
        yield it


@contextmanager
def serving(command: list[str]) -> Iterator[Server]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    process = subprocess.Popen([*command, "--port", str(port)], env=dict(os.environ))
    try:
        server = Server(port, process.pid)
        _wait(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            raise RuntimeError(f"the service ended with {process.returncode}")
        with closing(server.connect()) as connection, suppress(OSError):
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError("the service did not get ready in two minutes")


class PeakMemory:
    """Peak memory (proportional set size, bytes) of a process and its descendants.

    It is sampled twenty times a second while the block runs; `idle` is the first sample.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.idle = self.peak = memory_bytes(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.peak = max(self.peak, memory_bytes(self.pid))


def memory_bytes(pid: int) -> int:
    """Return the proportional set size of a process and its descendants, in bytes."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += 1024 * int(line.split()[1])
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                total += memory_bytes(int(child))
    except OSError:
        return total
    return total
