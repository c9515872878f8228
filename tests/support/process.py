"""Service in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support.places import ROOT
from tests.support.waiting import eventually

SERVE = """
from seedpoint.service.server.serve import serve
from seedpoint.service.settings import Settings
if __name__ == "__main__":
    serve(Settings())
"""

LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({0}, {0}))"


class Process:
    """Service in a process of its own, with settings from the environment."""

    def __init__(self, store: Path, *, open_files: int | None = None, **more: str) -> None:
        settings = {"PORT": "0", "STORE": str(store), "LOG_FORMAT": "json", "BUILD_WORKERS": "2"}
        settings |= more
        code = SERVE if open_files is None else LIMITED.format(open_files) + SERVE
        self.popen = subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {f"SEEDPOINT_{key}": value for key, value in settings.items()},
            stderr=subprocess.PIPE,
            cwd=ROOT,
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
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as http:
            eventually(lambda: http.get("/readyz").status_code == 200, seconds=150)

    def descendants(self) -> set[int]:
        """Return the process ids of all its descendants."""
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

    def workers(self) -> set[int]:
        """Return the process ids of the planning workers: those forked by its children."""
        children = {pid for pid in self.descendants() if _parent(pid) == self.popen.pid}
        return {pid for pid in self.descendants() if _parent(pid) in children}

    def renew_workers(self) -> None:
        """Kill each worker and wait until new ones have replaced them."""
        before = self.workers()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: len(self.workers() - before) == len(before), seconds=90)
        self.get_ready()

    def end(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def gone(pids: set[int]) -> bool:
    def running(pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state != "Z"

    return not any(map(running, pids))
