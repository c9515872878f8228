"""Several processes at one address, and how a service ends while it sends."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from safetensors.torch import load, save

from tests.support.blob_files import by_file, embedding, rows, sha256
from tests.support.process import Process, gone
from tests.support.running import mlp
from tests.support.waiting import eventually

FILE = "model.safetensors"


class Fleet(Process):
    """A service whose log is read while it runs."""

    def __init__(self, store: Path, **settings: str) -> None:
        super().__init__(store, BUILD_WORKERS="1", **settings)
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            if line.startswith(b"{"):
                self.lines.append(json.loads(line))

    def get_ready(self) -> None:
        eventually(lambda: status(f"{self.url}/readyz") == 200, seconds=150)

    def stop(self) -> None:
        self.popen.send_signal(signal.SIGTERM)
        self.wait()

    def wait(self) -> None:
        self.popen.wait(60)
        self._reading.join(60)

    def end(self) -> None:
        self.popen.kill()
        self.wait()
        assert self.popen.stderr is not None
        self.popen.stderr.close()

    def has_said(self, event: str) -> int:
        """Return the number of times that the log has `event`."""
        return sum(line["event"] == event for line in list(self.lines))

    def answering(self) -> set[int]:
        """The processes that have answered requests, by the log."""
        lines = [line for line in list(self.lines) if line["event"] == "request"]
        return {int(str(line["process"])) for line in lines}


def status(url: str) -> int:
    """Return the status of the answer to GET; 0 when nobody answers."""
    try:
        return httpx.get(url, trust_env=False, timeout=60).status_code
    except httpx.TransportError:
        return 0


def is_refused(url: str) -> bool:
    """Return whether a new connection is refused, instead of waiting in the backlog."""
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=60).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    processes: list[Fleet] = []

    def start(**settings: str) -> Fleet:
        processes.append(Fleet(tmp_path / "store", **settings))
        processes[-1].get_ready()
        return processes[-1]

    yield start
    for process in processes:
        process.end()


def issue(process: Fleet, seed: int, hidden: int = 256) -> str:
    """The URL of a file of a new checkpoint."""
    answer = httpx.post(
        f"{process.url}/v1/checkpoints",
        json=mlp(seed, hidden),
        headers={"Prefer": "return=minimal"},
        trust_env=False,
        timeout=60,
    )
    return process.url + str(answer.json()["links"]["files"][FILE])


class Slow:
    """A client that reads some bytes, and the rest when it is told to."""

    def __init__(self, url: str, first_bytes: int) -> None:
        host, _, path = url.removeprefix("http://").partition("/")
        name, _, port = host.partition(":")
        self._socket = socket.create_connection((name, int(port)), timeout=60)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self._socket.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        self._received = bytearray()
        while len(self._received) < first_bytes:
            self._received += self._socket.recv(1 << 16)
        head, _, _ = bytes(self._received).partition(b"\r\n\r\n")
        self._head_bytes = len(head) + 4
        lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-len")]
        self.content_length = int(lengths[0].split(b":")[1])

    def rest(self) -> bytes:
        """The whole body, as far as it came before the connection was closed or it was whole."""
        with self._socket:
            while len(self._received) < self._head_bytes + self.content_length:
                try:
                    data = self._socket.recv(1 << 20)
                except ConnectionError:
                    break
                if not data:
                    break
                self._received += data
        return bytes(self._received[self._head_bytes :])


def digest(url: str) -> str:
    """Return the SHA-256 of the content at `url`, got by a connection of its own."""
    answer = httpx.get(url, trust_env=False, timeout=60)
    assert answer.status_code == 200
    return hashlib.sha256(answer.content).hexdigest()


def at_once(url: str) -> set[str]:
    """Digests of what several clients get at the same time, so that no process takes them all."""
    with ThreadPoolExecutor(8) as clients:
        return set(clients.map(digest, [url] * 16))


@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform != "linux", reason="by prctl")
def test_processes_share_a_store_are_replaced_and_end_with_their_supervisor(
    started: Callable[..., Fleet],
) -> None:
    fleet = started(WORKERS="2")
    urls = [issue(fleet, seed) for seed in range(4)]
    found: list[set[str]] = [set() for _ in urls]

    def both_answer() -> bool:
        for url, digests in zip(urls, found, strict=True):
            digests.update(at_once(url))
        return len(fleet.answering()) >= 2

    eventually(both_answer, seconds=90)
    os.kill(min(fleet.answering()), signal.SIGKILL)
    eventually(lambda: fleet.has_said("Application startup complete.") == 3, seconds=120)
    assert both_answer()
    below = fleet.descendants()
    fleet.popen.kill()
    eventually(lambda: gone(below))
    alone = started()  # After all of this, what was issued is there.
    assert [{digest(url.replace(fleet.url, alone.url))} for url in urls] == found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_when_it_ends_a_body_is_finished_or_cut_and_never_looks_whole(
    started: Callable[..., Fleet], workers: str
) -> None:
    process = started(WORKERS=workers, SHUTDOWN_SECONDS="8")
    url = issue(process, 3, hidden=400_000)
    whole = digest(url)
    reading, waiting = Slow(url, first_bytes=1_000_000), Slow(url, first_bytes=1_000_000)
    process.popen.send_signal(signal.SIGTERM)
    eventually(lambda: process.has_said("Shutting down") == int(workers))
    eventually(lambda: is_refused(process.url))
    assert process.popen.poll() is None  # Its processes still send.
    assert hashlib.sha256(reading.rest()).hexdigest() == whole
    process.wait()
    assert 900_000 < len(waiting.rest()) < waiting.content_length


@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_process_that_is_stopped_does_not_keep_the_others_from_ending(
    started: Callable[..., Fleet],
) -> None:
    fleet = started(WORKERS="2", SHUTDOWN_SECONDS="1")
    eventually(lambda: fleet.has_said("Application startup complete.") == 2)
    lines = [line for line in list(fleet.lines) if "process" in line]
    below = fleet.descendants()
    os.kill(int(str(lines[0]["process"])), signal.SIGSTOP)
    fleet.stop()
    assert fleet.popen.returncode == 0
    assert fleet.has_said("a process did not end in time and is killed") == 1
    eventually(lambda: gone(below))


@pytest.mark.timeout(300)
def test_when_it_ends_who_still_waits_is_told_so(started: Callable[..., Fleet]) -> None:
    process = started(SHUTDOWN_SECONDS="1", UNASKED_STATISTICS_BYTES=str(1 << 60))
    huge = mlp(hidden=3_000_000_000) | {"max_shard_size": "900TB"}
    with ThreadPoolExecutor(1) as clients:
        waiting = clients.submit(
            httpx.post,
            f"{process.url}/v1/checkpoints",
            json=huge,
            headers={"Prefer": "wait=100"},
            trust_env=False,
            timeout=200,
        )
        running = "seedpoint_statistics_running 1.0"
        eventually(lambda: running in httpx.get(f"{process.url}/metrics", trust_env=False).text)
        process.popen.send_signal(signal.SIGTERM)
        answer = waiting.result()
    process.wait()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"].endswith("shutting-down")
    assert not any("exception" in line for line in process.lines)


def test_a_store_that_cannot_be_written_ends_it_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"a file")
    command = [sys.executable, "-c", "from seedpoint.service.cli import main; main()", "serve"]
    command += ["--workers", "2", "--store", str(tmp_path / "store"), "--port", "0"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode != 0
    assert b"Started parent process" not in done.stderr


@pytest.mark.timeout(300)
def test_any_process_takes_a_blob_plans_with_it_and_reads_it(
    started: Callable[..., Fleet],
) -> None:
    process = started(WORKERS="2")

    def fresh(method: str, path: str, **more: Any) -> httpx.Response:
        """Ask on a connection of its own, which any process may accept."""
        with httpx.Client(base_url=process.url, timeout=120, trust_env=False) as http:
            return http.request(method, path, **more)

    for seed in range(4):
        values = rows(200, 50) + seed
        content = save({"emb.weight": values})
        path = f"/v1/blobs/{sha256(content)}"
        assert fresh("PUT", path, content=content).status_code == 201
        assert fresh("PUT", path, content=content).status_code == 204
        spec = embedding(by_file(sha256(content)), (200, 50))
        issued = fresh("POST", "/v1/checkpoints", json=spec, headers={"Prefer": "return=minimal"})
        for _ in range(4):
            answer = fresh("GET", issued.json()["links"]["files"][FILE])
            assert load(answer.content)["weight"].equal(values)
    assert len(process.answering()) == 2
