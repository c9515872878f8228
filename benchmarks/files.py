"""Benchmarks of large files over HTTP: throughput, first bytes, memory and fairness.

    python -m benchmarks.files [GIGABYTES]

The large files have 16 GB by default. The baseline of throughput sends a constant buffer.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.processes import PeakMemory, Server, seedpoint, serving

LAYER_BYTES = 8192 * 8192 * 4  # One layer in float32.
PAIRS = 3  # Measurements per comparison.
ROUNDS = 5
RANGE_BYTES = 64 << 10


def main(gigabytes: float = 16) -> None:
    with seedpoint() as ours, peers() as theirs:
        beside_a_constant_buffer(ours, theirs, gigabytes)
        growth(ours, gigabytes)
        first_bytes(ours)
    with seedpoint() as ours:
        slow_readers(ours, gigabytes)
    with seedpoint() as ours:
        small_files(ours)
        beside_large_downloads(ours, gigabytes)
    with tempfile.TemporaryDirectory(prefix="seedpoint-bench-") as folder, seedpoint() as ours:
        ranges_beside_a_stored_file(ours, Path(folder) / "model.safetensors")


def linears(count: int, dtype: str = "float32", seed: int = 0, size: int = 8192) -> dict[str, Any]:
    """Return a spec of `count` square Linear layers of `size` features, normally distributed.

    A layer of the default size has 256 MiB in float32.
    """
    layer = {"type": "Linear", "in_features": size, "out_features": size, "bias": False}
    rules = [{"match": {"parameter": "weight"}, "initializer": {"type": "normal", "std": 0.02}}]
    return {
        "architecture": {"type": "Sequential", "layers": [layer] * count},
        "init": {"seed": seed, "rules": rules},
        "dtype": dtype,
    }


def beside_a_constant_buffer(ours: Server, theirs: Server, gigabytes: float) -> None:
    """Time GETs by curl against equal amounts of a constant buffer, and measure memory."""
    for dtype, width in (("float32", 4), ("bfloat16", 2)):
        count = max(1, round(gigabytes * 1e9 / LAYER_BYTES * 4 / width))
        link, size = issued(ours, linears(count, dtype))
        curl(ours, link, "0-99999999")
        ratios, rates = [], []
        with PeakMemory(ours.pid) as memory:
            for _ in range(PAIRS):
                least = curl(theirs, f"/constant/{size >> 20}").total
                taken = curl(ours, link).total
                ratios.append(least / taken)
                rates.append(size / taken / 1e9)
        print(
            f"{size / 1e9:.1f} GB of {dtype} normal by curl: {statistics.median(rates):.2f} GB/s, "
            f"{statistics.median(ratios):.2f} of the rate of a constant buffer (median of {PAIRS} "
            f"pairs); memory {(memory.peak - memory.idle) / 1e6:.0f} MB above idle"
        )


def growth(ours: Server, gigabytes: float) -> None:
    """Measure time per byte by file size.

    Every round measures all sizes, so a disturbance of the machine affects them alike.
    """
    specs = [linears(1, size=4096)]
    specs += [linears(round(size * 1e9 / LAYER_BYTES)) for size in (0.268, 1.07, 4.3, gigabytes)]
    files = [issued(ours, spec) for spec in specs]
    taken: list[list[float]] = [[] for _ in files]
    for _ in range(ROUNDS):
        for (link, size_bytes), found in zip(files, taken, strict=True):
            times = 1 if size_bytes > 4 * LAYER_BYTES else 20
            found += [answer.total for answer in curls(ours, link, times)]
    shown = [
        f"{size_bytes / 1e9:.2f} GB {statistics.median(found) / size_bytes * 1e12:.0f} ps"
        for (_, size_bytes), found in zip(files, taken, strict=True)
    ]
    print(f"Time per byte: {', '.join(shown)}")


def first_bytes(ours: Server) -> None:
    """Time the first byte of ranges at the start and deep inside of a file of 405B parameters."""
    block = {"type": "Linear", "in_features": 16384, "out_features": 16384}
    spec: dict[str, Any] = {"architecture": {"type": "Repeat", "count": 1509, "layer": block}}
    spec |= {"dtype": "bfloat16", "max_shard_size": "2TB"}
    link, size = issued(ours, spec)
    for what, lowest, highest in (
        ("first byte", 0, 0),
        ("64 KiB deep inside", size // 2, size - RANGE_BYTES),
    ):
        seconds = []
        for _ in range(50):
            start = random.randint(lowest, highest)
            seconds.append(curl(ours, link, f"{start}-{start + RANGE_BYTES - 1}").first)
        print(
            f"{size / 1e9:.0f} GB, {what}: median {1e3 * statistics.median(seconds):.1f} ms, "
            f"highest {1e3 * max(seconds):.1f} ms"
        )


def slow_readers(ours: Server, gigabytes: float) -> None:
    """Measure memory while 16 clients read 4 MB/s each for ten seconds."""
    link, _ = issued(ours, linears(max(1, round(gigabytes * 1e9 / LAYER_BYTES))))
    curl(ours, link, "0-999999999")
    command = ["curl", "-s", "-o", "/dev/null", "--limit-rate", "4M", "--max-time", "10"]
    with PeakMemory(ours.pid) as memory:
        clients = [subprocess.Popen([*command, url(ours, link)]) for _ in range(16)]
        for client in clients:
            client.wait()
    print(f"16 slow readers: memory {(memory.peak - memory.idle) / 1e6:.0f} MB above idle")


def small_files(ours: Server) -> None:
    """Time GETs of 32 kB files over eight connections."""
    links = []
    for seed in range(64):
        layer = {"type": "Linear", "in_features": 128, "out_features": 62}
        spec = {"architecture": {"type": "Sequential", "layers": [layer]}, "init": {"seed": seed}}
        links.append(issued(ours, spec)[0])
    before = cpu_seconds(ours.pid)
    seconds, elapsed = asked(ours, links, connections=8, each=1000)
    used = cpu_seconds(ours.pid) - before
    print(
        f"GETs of 32 kB: {len(seconds) / elapsed:.0f}/s, {len(seconds) / used:.0f} per second of "
        f"the service's CPU; median {1e3 * statistics.median(seconds):.1f} ms, "
        f"p99 {1e3 * percentile(seconds, 0.99):.1f} ms"
    )


def beside_large_downloads(ours: Server, gigabytes: float) -> None:
    """Time small POSTs and GETs beside four large downloads at full speed."""
    count = max(1, round(gigabytes * 1e9 / LAYER_BYTES))
    link, _ = issued(ours, linears(count))
    small, _ = issued(ours, linears_small(0))
    with downloads(ours, [link] * 4):
        time.sleep(1)
        seconds, _ = asked(ours, [small], connections=1, each=500)
        posts = []
        with closing(ours.connect()) as connection:
            for seed in range(1, 201):
                start = time.perf_counter()
                post(connection, linears_small(seed))
                posts.append(time.perf_counter() - start)
    for what, found in (("GET", seconds), ("POST", posts)):
        print(
            f"Beside four large downloads, a small {what}: "
            f"median {1e3 * statistics.median(found):.1f} ms, "
            f"p99 {1e3 * percentile(found, 0.99):.1f} ms"
        )


def ranges_beside_a_stored_file(ours: Server, path: Path) -> None:
    """Compare random 64 KiB ranges with the same ranges of the same file on disk."""
    link, size = issued(ours, linears(4))
    subprocess.run(["curl", "-s", "-o", path, url(ours, link)], check=True)
    os.environ["BENCHMARK_FILE"] = str(path)
    with peers() as theirs:
        ratios = []
        for number in range(PAIRS + 1):
            rates = []
            for server, target in ((ours, link), (theirs, "/file")):
                places = random.Random(number)
                starts = [places.randrange(size - RANGE_BYTES) for _ in range(64)]
                spans = [f"bytes={start}-{start + RANGE_BYTES - 1}" for start in starts]
                found, elapsed = asked(server, [target], connections=4, each=500, spans=spans)
                rates.append(len(found) / elapsed)
            if number:
                ratios.append(rates[0] / rates[1])
    print(
        f"64 KiB ranges: {rates[0]:.0f}/s, {statistics.median(ratios):.1f}x FileResponse from disk "
        f"(median of {PAIRS} pairs)"
    )


def linears_small(seed: int) -> dict[str, Any]:
    layer = {"type": "Linear", "in_features": 128, "out_features": 62}
    return {"architecture": {"type": "Sequential", "layers": [layer]}, "init": {"seed": seed}}


# --- clients -------------------------------------------------------------------


class Taken:
    """Timing of a transfer by curl: seconds to the first byte, and in total."""

    def __init__(self, said: str) -> None:
        status, self.first, self.total = map(float, said.split())
        if status >= 300:
            raise RuntimeError(f"curl: {said}")


def curl(server: Server, path: str, span: str = "") -> Taken:
    (taken,) = curls(server, path, 1, span)
    return taken


def curls(server: Server, path: str, times: int, span: str = "") -> list[Taken]:
    """Time `times` sequential GETs of one curl process on one connection."""
    form = "%{http_code} %{time_starttransfer} %{time_total}\\n"
    asked = ["-r", span] if span else []
    gets = ["-o", "/dev/null", url(server, path)] * times
    done = subprocess.run(
        ["curl", "-s", "-w", form, *asked, *gets], capture_output=True, check=True
    )
    return [Taken(line) for line in done.stdout.decode().splitlines()]


def url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.port}{path}"


def issued(server: Server, spec: dict[str, Any]) -> tuple[str, int]:
    """Issue a spec; return the link of its file and the size in bytes."""
    with closing(server.connect()) as connection:
        resource = post(connection, spec)
    link = resource["links"]["files"]["model.safetensors"]
    with closing(server.connect()) as connection:
        connection.request("HEAD", link)
        return link, int(connection.getresponse().headers["Content-Length"])


def post(connection: http.client.HTTPConnection, spec: dict[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Prefer": "return=minimal"}
    connection.request("POST", "/v1/checkpoints", json.dumps(spec), headers)
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    return answer


def asked(
    server: Server, links: list[str], *, connections: int, each: int, spans: list[str] | None = None
) -> tuple[list[float], float]:
    """Send `each` GETs on each of several parallel connections.

    Returns the seconds of every GET, and the seconds of all of them together.
    """

    def ask(number: int) -> list[float]:
        seconds = []
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            for turn in range(each):
                at = turn * connections + number
                span = f"Range: {spans[at % len(spans)]}\r\n" if spans else ""
                request = f"GET {links[at % len(links)]} HTTP/1.1\r\nHost: x\r\n{span}\r\n"
                start = time.perf_counter()
                connection.sendall(request.encode())
                receive(connection, buffers[number])
                seconds.append(time.perf_counter() - start)
        return seconds

    buffers = [bytearray(1 << 20) for _ in range(connections)]
    with ThreadPoolExecutor(connections) as clients:
        start = time.perf_counter()
        found = [second for part in clients.map(ask, range(connections)) for second in part]
        return found, time.perf_counter() - start


def receive(connection: socket.socket, buffer: bytearray) -> None:
    """Read one response that fits the buffer, at little cost for the measuring client."""
    end = length = 0
    while not length or end < length:
        end += connection.recv_into(memoryview(buffer)[end:])
        if not length and (head := buffer.find(b"\r\n\r\n", 0, end)) > 0:
            lines = bytes(buffer[:head]).lower().split(b"\r\n")
            if not lines[0].startswith(b"http/1.1 20"):
                raise RuntimeError(lines[0].decode())
            said = next(line for line in lines if line.startswith(b"content-length:"))
            length = head + 4 + int(said.partition(b":")[2])


@contextmanager
def downloads(server: Server, links: list[str]) -> Iterator[None]:
    """Run downloads at full speed until the block ends."""
    over = threading.Event()

    def repeat(link: str) -> None:
        while not over.is_set():
            client = subprocess.Popen(["curl", "-s", "-o", "/dev/null", url(server, link)])
            while client.poll() is None and not over.wait(0.05):
                pass
            client.kill()
            client.wait()

    with ThreadPoolExecutor(len(links)) as clients:
        running = [clients.submit(repeat, link) for link in links]
        try:
            yield
        finally:
            over.set()
        for client in running:
            client.result()


@contextmanager
def peers() -> Iterator[Server]:
    """Run the applications of benchmarks/peers.py."""
    uvicorn = [sys.executable, "-m", "uvicorn", "benchmarks.peers:app", "--log-level", "warning"]
    with serving([*uvicorn, "--no-access-log"]) as it:
        yield it


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that all threads of the process have used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[int(part * len(values))]


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))
