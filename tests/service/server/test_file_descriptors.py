"""Open files: connections take what the limit leaves, and the service keeps some for itself."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from seedpoint.service.server.file_descriptors import LEAST_SHARE, for_connections, reserve
from tests.support.places import ROOT
from tests.support.process import Process
from tests.support.running import mlp
from tests.support.waiting import eventually

RESERVED = reserve(threads=2, workers=5)


def allowed(soft: int, hard: int, wanted: int) -> tuple[int, int]:
    """The number of connections that a process may have, and its soft limit then."""
    code = (
        "import resource; from seedpoint.service.server.file_descriptors import for_connections\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        f"print(for_connections({wanted}, {RESERVED}))\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    *_, connections, limit = done.stdout.split()
    return int(connections), int(limit)


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "connections", "limit"),
    [
        (1024, 1024, 100, 100, 1024),
        (1024, 1024, 4096, 1024 - RESERVED, 1024),
        (256, 2000, 1000, 1000, 1000 + RESERVED),
        (64, 64, 1000, 64 // LEAST_SHARE, 64),
    ],
)
def test_connections_have_what_the_limit_leaves(
    soft: int, hard: int, wanted: int, connections: int, limit: int
) -> None:
    assert allowed(soft, hard, wanted) == (connections, limit)


def test_without_a_limit_there_are_as_many_as_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    infinite = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (infinite, infinite))
    monkeypatch.setattr(resource, "setrlimit", pytest.fail)
    assert for_connections(12345, RESERVED) == 12345


def silent(url: str) -> socket.socket:
    """A connection that begins a request and says no more."""
    host, _, port = url.removeprefix("http://").partition(":")
    connected = socket.create_connection((host, int(port)), timeout=60)
    connected.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
    return connected


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")
def test_a_service_with_few_descriptors_does_all_it_does_while_others_wait(tmp_path: Path) -> None:
    limit = 256
    process = Process(tmp_path / "store", open_files=limit, THREADS="2")
    try:
        process.get_ready()
        whole = mlp(1)
        weights = {"match": {"ndim": 2}, "initializer": {"type": "orthogonal"}}
        whole["init"]["rules"] = [weights]
        bound = mlp(2)
        bound["init"]["generator"] = "torch"
        with httpx.Client(base_url=process.url, timeout=180, trust_env=False) as inside:
            assert inside.get("/healthz").status_code == 200
            with ExitStack() as crowd:
                for _ in range(limit):
                    crowd.enter_context(silent(process.url))
                eventually(lambda: open_files(process.popen.pid) >= limit - RESERVED)
                for spec in (mlp(0), whole, bound):
                    issued = inside.post("/v1/checkpoints", json=spec)
                    assert issued.status_code in (200, 201)
                    (link,) = issued.json()["links"]["files"].values()
                    assert inside.get(link).status_code == 200
                assert open_files(process.popen.pid) < limit
        assert httpx.get(f"{process.url}/healthz", trust_env=False, timeout=60).status_code == 200
    finally:
        process.end()
