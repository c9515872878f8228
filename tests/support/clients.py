"""Client programs run as users run them, and a proxy that breaks connections."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

import pytest

# Environment variable: if it is set, a missing client fails the test instead of skipping it.
EVERY = "EVERY_CLIENT"
FILE = "model.safetensors"
LARGE = f"/zoo/large/resolve/seed-1/{FILE}"  # 50 MB.


def left_out(reason: str) -> NoReturn:
    """Skip the test for `reason`; fail it if EVERY_CLIENT is set."""
    if os.environ.get(EVERY):
        pytest.fail(f"{reason}, and {EVERY} is set")
    pytest.skip(reason)


def needed(library: str) -> Any:
    """Import a library; skip the test if it is not installed."""
    if importlib.util.find_spec(library) is None:
        left_out(f"{library} is not installed")
    return importlib.import_module(library)


def program(name: str) -> str:
    """Return the path of a program on PATH or beside Python; skip the test if it is missing."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        left_out(f"{name} is not installed")
    return found


def run(*command: str, cwd: Path, timeout_seconds: float = 100, **environment: str) -> str:
    proxies = {"http_proxy": "", "https_proxy": "", "no_proxy": "*", "NO_PROXY": "*"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | proxies | environment,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Cutter:
    """Proxy that cuts each of the first `times` connections after `after_bytes` of a response.

    A client that restarts instead of resuming makes it pass many more bytes than the file has.
    """

    def __init__(self, port: int, *, after_bytes: int, times: int) -> None:
        self._target, self._after, self._left = port, after_bytes, times
        self.cuts = self.passed_bytes = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
        except OSError:
            pass

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        passed = 0
        try:
            while data := server.recv(1 << 16):
                client.sendall(data)
                passed += len(data)
                self.passed_bytes += len(data)
                if passed > self._after and self._left:
                    self._left -= 1
                    self.cuts += 1
                    break
        except OSError:
            pass
        for end in (client, server):
            with end:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
