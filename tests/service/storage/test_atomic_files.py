"""`kill -9` at any moment loses no issued id and leaves no half file."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.planning.sequential import materialized, platform
from seedpoint.models.spec.schema import parse_spec
from seedpoint.service.storage.atomic_files import is_left
from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.checksums import (
    BLOCK_BYTES,
    DIGEST_BYTES,
    checked_content,
    unsealed,
)
from seedpoint.service.storage.directory import DirectoryStore
from seedpoint.service.workers import forkserver
from tests.support.process import Process
from tests.support.running import mlp
from tests.support.store_tasks import digest, put_for_ever
from tests.support.waiting import eventually

ROUNDS = 30


def told(pipe: Connection) -> Iterator[bytes]:
    """Yield the messages that came through before the other end was killed."""
    while True:
        try:
            yield pipe.recv_bytes()
        except EOFError:
            return


def test_a_process_that_is_killed_while_it_writes_leaves_the_store_whole(tmp_path: Path) -> None:
    chance = random.Random(1)
    plans: list[bytes] = []
    context: Any = forkserver.context()
    for number in range(ROUNDS):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=put_for_ever, args=(tmp_path, 1000 * number, theirs))
        process.start()
        theirs.close()
        plans.append(ours.recv_bytes())
        for _ in range(number % 3):
            started = time.monotonic()
            plans.append(ours.recv_bytes())
            time.sleep(chance.uniform(0, time.monotonic() - started))  # Anywhere in the next.
        process.kill()
        process.join()
        plans += told(ours)
    store = CheckpointStore(DirectoryStore(tmp_path))
    assert len(plans) > ROUNDS
    for plan in plans:
        assert store.plan(digest(plan)) == plan
        assert all(digest(store.blob(name)) == name for name in json.loads(plan)["blobs"])
    assert_whole(tmp_path)


def assert_whole(root: Path) -> None:
    """Every file of the store is what its name says, once what was left behind is gone."""
    store = CheckpointStore(DirectoryStore(root))
    left = [path for path in root.rglob("*") if is_left(path.name)]
    store.discard_unfinished(time.time_ns() - int(3600e9))
    assert all(path.exists() for path in left), "somebody may still be writing them"
    for path in left:
        os.utime(path, (0, 0))
    store.discard_unfinished(time.time_ns() - int(3600e9))
    files = [path for path in root.rglob("*") if path.is_file()]
    assert not [path for path in files if is_left(path.name)]
    for path in files:
        kind = path.relative_to(root).parts[0]
        if kind == "plans":
            assert digest(path.read_bytes().partition(b"\n")[0]) == path.stem
        elif kind == "blobs":
            assert digest(path.read_bytes()) == path.name
        elif kind in {"statistics", "digests"}:
            json.loads(unsealed(path.read_bytes()))
        elif kind in {"materialized", "whole_tensors"} and path.suffix == ".bin":
            assert_blocks_are_whole(path)


def assert_blocks_are_whole(path: Path) -> None:
    """Check the blocks of a tensor's file, which are whole even if its plan was never stored."""
    blocks = -(-path.stat().st_size // (BLOCK_BYTES + DIGEST_BYTES))
    size_bytes = path.stat().st_size - DIGEST_BYTES * (blocks + 1)
    assert checked_content(memoryview(path.read_bytes()), path.stem, size_bytes)


@contextmanager
def serving(store: Path) -> Iterator[Process]:
    """A service in a process of its own, whose log somebody reads; killed at the end."""
    process = Process(store)
    try:
        process.get_ready()
        assert process.popen.stderr is not None
        reading = threading.Thread(target=process.popen.stderr.read)
        reading.start()
        yield process
        process.popen.send_signal(signal.SIGKILL)
        reading.join()
    finally:
        process.end()


class Client:
    """POSTs specs, each a new one, for as long as somebody answers."""

    def __init__(self, number: int) -> None:
        self.seeds = itertools.count(number, 8)
        self.issued: list[dict[str, Any]] = []
        self.specs: dict[str, dict[str, Any]] = {}
        self.cut = 0

    def run(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            for seed in self.seeds:
                spec = mlp(seed)
                if seed % 3 == 0:
                    spec["init"]["generator"] = "torch"
                if seed % 3 == 1:
                    values = {"type": "values", "values": [seed] * 10}
                    spec["init"]["rules"] = [
                        {"match": {"name": "output.bias"}, "initializer": values}
                    ]
                prefer = {"Prefer": "return=minimal"} if seed % 2 else {}
                try:
                    answer = client.post("/v1/checkpoints", json=spec, headers=prefer)
                except httpx.TransportError:
                    self.cut += 1  # In the middle of it: nothing was promised.
                    return
                assert answer.status_code == 201, answer.text
                self.issued.append(answer.json())
                self.specs[answer.json()["id"]] = spec


def file_of(spec: dict[str, Any]) -> bytes:
    """The file of a spec, made here."""
    parsed = parse_spec(spec)
    planned = make_plan(parsed, platform=platform())
    given = materialized(parsed, planned) if planned.plan.platform else {}
    (file,) = layout(planned.plan).files.values()
    out = np.empty(file.size_bytes, np.uint8)
    Evaluator(planned.plan, planned.blobs, given).read(file, 0, file.size_bytes, out)
    return out.tobytes()


@pytest.mark.timeout(400)
def test_a_service_that_is_killed_has_every_id_that_it_has_answered(tmp_path: Path) -> None:
    chance = random.Random(2)
    clients = [Client(number) for number in range(4)]
    for _ in range(3):
        with serving(tmp_path / "store") as process, ThreadPoolExecutor(4) as threads:
            running = [threads.submit(client.run, process.url) for client in clients]
            goal = sum(len(client.issued) for client in clients) + chance.randrange(8, 40)
            eventually(lambda: sum(len(c.issued) for c in clients) >= goal)  # noqa: B023
            process.popen.send_signal(signal.SIGKILL)
            for client in running:
                client.result()
    issued = [resource for client in clients for resource in client.issued]
    assert sum(client.cut for client in clients) >= 3 * len(clients) / 2, "nobody was at it"
    specs = {id_: spec for client in clients for id_, spec in client.specs.items()}
    with serving(tmp_path / "store") as process:
        http = httpx.Client(base_url=process.url, timeout=60, trust_env=False)
        for resource in issued:
            found = http.get(resource["links"]["self"])
            assert found.status_code == 200
            assert found.json()["tensors"] == resource["tensors"]
            (link,) = resource["links"]["files"].values()
            assert http.get(link).content == file_of(specs[resource["id"]])
            again = http.post("/v1/checkpoints", json=specs[resource["id"]])
            assert (again.status_code, again.json()["id"]) == (200, resource["id"])
        http.close()
    assert_whole(tmp_path / "store")
