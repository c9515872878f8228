"""Start Seedpoint, issue one checkpoint and show the response: `make demo`.

`python examples/demo.py [SPEC]` does the same for another spec. The files are left in `out/`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from rich.console import Console

from seedpoint.service.cli.tables import statistics_table

SPEC = Path(__file__).with_name("mlp.json")
OUT = Path("out")
READY_SECONDS = 300.0  # The first start compiles the kernels, which takes long on a busy machine.


def main() -> None:
    spec_path = Path(sys.argv[1]) if len(sys.argv) > 1 else SPEC
    spec = json.loads(spec_path.read_text())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    console = Console(highlight=False, markup=False, soft_wrap=True)
    room = console.width if console.is_terminal else None
    console.width = max(console.width, 160)  # For other lines, and a table with all columns.
    console.print("starting the service; its first start compiles the kernels ...")
    with running_service() as url, httpx.Client(base_url=url, timeout=60.0) as client:
        console.print(f"\n$ curl {url}/v1/checkpoints --json @{os.path.relpath(spec_path)}")
        started = time.perf_counter()
        response = client.post("/v1/checkpoints", json=spec)
        elapsed = time.perf_counter() - started
        if response.is_error:
            sys.exit(f"{response.status_code}: {json.dumps(response.json(), indent=2)}")
        checkpoint = response.json()
        console.print(f"{response.status_code} in {1000 * elapsed:.0f} ms: {checkpoint['id']}\n")
        console.print(statistics_table(checkpoint, checkpoint["statistics"], room))
        for name, link in checkpoint["links"]["files"].items():
            console.print(f"\n$ curl {url}{link} --output {OUT / name}")
            console.print(f"{download(client, link, OUT / name):,} bytes")
    console.print("\nThe service is stopped; `make serve` starts one on http://127.0.0.1:8000.")


@contextmanager
def running_service() -> Iterator[str]:
    """Run a service with an empty store for the duration of the block; yield its URL."""
    with tempfile.TemporaryDirectory(prefix="seedpoint-demo-") as directory:
        log, port = Path(directory, "log"), free_port()
        environment = os.environ | {
            "SEEDPOINT_HOST": "127.0.0.1",
            "SEEDPOINT_PORT": str(port),
            "SEEDPOINT_STORE": str(Path(directory, "store")),
            "SEEDPOINT_STATISTICS_WAIT_SECONDS": "60",
        }
        command = [str(Path(sys.executable).with_name("seedpoint")), "serve"]
        with log.open("wb") as output:
            service = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, service, log)
            yield url
        finally:
            stop(service)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def wait_until_ready(url: str, service: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    missing = "no answer"
    while time.monotonic() < deadline and service.poll() is None:
        try:
            answer = httpx.get(f"{url}/readyz")
            if answer.is_success:
                return
            missing = ", ".join(answer.json()["missing"])
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    ended = service.poll() is not None
    reason = "ended" if ended else f"is not ready after {READY_SECONDS:.0f} seconds: {missing}"
    sys.exit(f"the service {reason}\n{log.read_text(errors='replace')}")


def stop(service: subprocess.Popen[bytes]) -> None:
    service.terminate()
    try:
        service.wait(10)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()


def download(client: httpx.Client, link: str, path: Path) -> int:
    """Download `link` to `path` and return the size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with client.stream("GET", link) as response, path.open("wb") as file:
        response.raise_for_status()
        return sum(file.write(chunk) for chunk in response.iter_bytes())


if __name__ == "__main__":
    main()
