"""The service as a process: it starts, serves, stops, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.running import mlp

SERVE = """
from service.server import serve
from service.settings import Settings
if __name__ == "__main__":
    serve(Settings())
"""


class Process:
    """A service in a process of its own, with settings from the environment."""

    def __init__(self, store: Path, **more: str) -> None:
        settings = {"PORT": "0", "STORE": str(store), "LOG_FORMAT": "json", "BUILD_WORKERS": "2"}
        settings |= more
        root = Path(__file__).parent.parent
        self.popen = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            env=os.environ | {f"SEEDPOINT_{key}": value for key, value in settings.items()},
            stderr=subprocess.PIPE,
            cwd=root,
        )
        self.lines: list[dict[str, object]] = []
        self.url = self._url()

    def _url(self) -> str:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.lines.append(json.loads(line))
            if found := re.search(r"http://127\.0\.0\.1:\d+", str(self.lines[-1]["event"])):
                return found[0]
        raise AssertionError(f"the service did not start: {self.lines}")

    def get_ready(self) -> None:
        deadline = time.monotonic() + 90
        while httpx.get(f"{self.url}/readyz", trust_env=False).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def descendants(self) -> set[int]:
        """Process ids of its children, and of theirs."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
        found = {self.popen.pid}
        while below := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= below
        return found - {self.popen.pid}

    def end(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    started = Process(tmp_path / "store")
    yield started
    started.end()


def gone(pids: set[int]) -> bool:
    def running(pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state != "Z"

    return not any(map(running, pids))


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_it_serves_and_ends_with_its_workers_when_told_to(process: Process) -> None:
    process.get_ready()
    issued = httpx.post(f"{process.url}/v1/checkpoints", json=mlp(), trust_env=False, timeout=60)
    assert issued.status_code == 201
    workers = process.descendants()
    assert len(workers) >= 3  # Two workers and the server that they fork from.
    process.popen.send_signal(signal.SIGTERM)
    process.popen.communicate(timeout=20)
    assert process.popen.returncode in (0, -signal.SIGTERM)
    eventually(lambda: gone(workers))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_workers_do_not_outlive_a_service_that_is_killed(process: Process) -> None:
    process.get_ready()
    workers = process.descendants()
    process.popen.kill()
    process.popen.communicate(timeout=20)
    eventually(lambda: gone(workers))


@pytest.mark.skipif(sys.platform != "linux", reason="by prctl")
def test_nor_do_workers_that_are_at_work(process: Process) -> None:
    process.get_ready()
    workers = process.descendants()
    layer = {"type": "Linear", "in_features": 8, "out_features": 8}
    spec = {"architecture": {"type": "Repeat", "count": 99_000, "layer": layer}}

    def issue() -> None:
        with contextlib.suppress(httpx.TransportError):
            httpx.post(f"{process.url}/v1/checkpoints", json=spec, trust_env=False, timeout=60)

    client = threading.Thread(target=issue)
    client.start()
    time.sleep(2)
    process.popen.kill()
    client.join()
    eventually(lambda: gone(workers))  # They would have been at it for longer.
