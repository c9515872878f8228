"""The service as a process: it starts, serves, stops, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.process import Process, gone
from tests.support.running import mlp
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # A process of its own begins by importing torch.


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    started = Process(tmp_path / "store")
    yield started
    started.end()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_it_serves_and_ends_with_its_workers_when_told_to(process: Process) -> None:
    process.get_ready()
    issued = httpx.post(f"{process.url}/v1/checkpoints", json=mlp(), trust_env=False, timeout=60)
    assert issued.status_code == 201
    workers = process.descendants()
    assert len(workers) >= 3  # Two workers and the server that they fork from.
    process.popen.send_signal(signal.SIGTERM)
    process.popen.communicate(timeout=60)
    assert process.popen.returncode in (0, -signal.SIGTERM)
    eventually(lambda: gone(workers))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_workers_do_not_outlive_a_service_that_is_killed(process: Process) -> None:
    process.get_ready()
    workers = process.descendants()
    process.popen.kill()
    process.popen.communicate(timeout=60)
    eventually(lambda: gone(workers))


@pytest.mark.skipif(sys.platform != "linux", reason="by prctl")
def test_nor_do_workers_that_are_at_work(process: Process) -> None:
    process.get_ready()
    workers = process.descendants()
    # It writes a table of positions in Python, for minutes.
    config = {"model_type": "distilbert", "sinusoidal_pos_embds": True}
    config |= {"max_position_embeddings": 10**7}
    spec = {"architecture": {"type": "transformers", "config": config}}

    def issue() -> None:
        with contextlib.suppress(httpx.TransportError):
            httpx.post(f"{process.url}/v1/checkpoints", json=spec, trust_env=False, timeout=60)

    client = threading.Thread(target=issue)
    client.start()
    at_work = 'seedpoint_specs_waiting{pool="small"} 1.0'
    with httpx.Client(base_url=process.url, timeout=60, trust_env=False) as http:
        eventually(lambda: at_work in http.get("/metrics").text)
    process.popen.kill()
    client.join()
    eventually(lambda: gone(workers))  # They would have been at it for longer.
