"""Tasks that processes of tests/service/storage/test_atomic_files.py run until they are killed."""

from __future__ import annotations

import hashlib
import itertools
import json
from multiprocessing.connection import Connection
from pathlib import Path

from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.directory import DirectoryStore


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put_for_ever(root: Path, first: int, pipe: Connection) -> None:
    """Store plans, each with its own and a shared literal, and send each one once stored."""
    store = CheckpointStore(DirectoryStore(root))
    for number in itertools.count(first):
        literal = b"%d" % number * 1000
        blobs = {digest(literal): literal, digest(b"shared"): b"shared"}
        plan = json.dumps({"number": number, "blobs": list(blobs)}).encode()
        store.put_plan(digest(plan), plan, blobs)
        store.put_statistics(digest(plan), b"{}")
        pipe.send_bytes(plan)
