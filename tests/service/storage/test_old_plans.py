"""Plans that earlier versions stored are served as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.directory import DirectoryStore
from tests.support.places import GOLDEN
from tests.support.running import Running

# Of a llama in float16, stored before config.json named rotary embeddings twice.
RECORD = (GOLDEN / "plan_before_two_wordings.txt").read_bytes()
ID = "eadfd3b4b25328912fea6bafe7da71bb030a071f386a41590377178f7071f50d"
MODEL_SHA256 = "77153b160643edb42674cfbe387dc3b6814ab1fcd3543da7aea758f7c7541e87"
CONFIG_SHA256 = "0fab5d980a0a2046570b624021ee386289d6ca0ad258528a4aac0981e8a10ec9"


def test_a_stored_id_keeps_its_bytes(start: Callable[..., Running], tmp_path: Path) -> None:
    CheckpointStore(DirectoryStore(tmp_path / "store")).put_plan(ID, RECORD, {})
    http = start().http
    for file, digest in (("model.safetensors", MODEL_SHA256), ("config.json", CONFIG_SHA256)):
        content = http.get(f"/v1/checkpoints/{ID}/files/{file}").raise_for_status().content
        assert hashlib.sha256(content).hexdigest() == digest, file
