"""A store that version 0.1 wrote is served as it is: ids, files, statistics, digests, list."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.places import GOLDEN
from tests.support.running import Running

OLD = GOLDEN / "store-0.1"
PHILOX = "6f1c232daa762d8bcd2449439107f30f72780b3d93973f01b048ae4877aeaf1c"
TORCH = "94fdfce7c956c9b45e2d45b914aa9c329493d555fbe19665ecea08ea26b8cb40"
BLOB = "0846fa44e8b51361c65aa5220fb9a8e2c033649ec1638f2b9b02fb0dd4c0bfb0"

# What the store held, by the SHA-256 of each file.
STORED = {
    f"blobs/08/{BLOB}": BLOB,
    f"digests/6f/{PHILOX}.json": "d835bd6b75a2549ce8386a7afb180562a3ee23110f4b555348874c6f72ee9cad",
    f"digests/94/{TORCH}.json": "d5e2b93e1e3f4ee84b6c0a6f540f96a4a9e469c5f4eb5917554045c7570f5aa5",
    f"materialized/94/{TORCH}.bin": (
        "61cbb3cd0db026125d715305b1ee37581c6c66ae081c3f6ffeb53f4ea6847bfd"
    ),
    f"plans/6f/{PHILOX}.json": "ec198918e87d2529e27cadc7489c979ad47dc033e9c9fe51ed4ff6f609184bf7",
    f"plans/94/{TORCH}.json": "5e541cf4a16847a706d2315660a0c76beccd3b8bba527fbd406d873995a0030c",
    f"statistics/6f/{PHILOX}.json": (
        "a00143ec1cd380d8d5b7ca316f2ba452f4cb3c2c3d1d2ba2bd90d56b26d1f7d6"
    ),
    f"statistics/94/{TORCH}.json": (
        "46344987121afe0dccf830313cd85814be4d2e1af27ae145c5b647ba6dbe46cc"
    ),
}
# What version 0.1 answered, by the SHA-256 of model.safetensors.
SERVED = {
    PHILOX: "73c14857139bc908df2232b6394ec563ef43e54fe767c7af46581d1326108d71",
    TORCH: "7c5cf28c2636cd48996724b12126a92b155b3ca64bfd0ce16a428b8c4cdf9121",
}
SPEC = {
    "architecture": {
        "type": "Sequential",
        "layers": [
            {"name": "hidden", "type": "Linear", "in_features": 6, "out_features": 8},
            {"name": "activation", "type": "ReLU"},
            {"name": "output", "type": "Linear", "in_features": 8, "out_features": 3},
        ],
    },
    "init": {
        "seed": 7,
        "rules": [
            {
                "match": {"name": "output.bias"},
                "initializer": {"type": "values", "values": [0.5, -1.0, 2.0]},
            },
            {"match": {"name": "hidden.weight"}, "initializer": {"type": "orthogonal"}},
        ],
    },
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def contents(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): sha256(path.read_bytes())
        for path in root.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def statistics_of(id_: str) -> dict[str, Any]:
    file = (OLD / "statistics" / id_[:2] / f"{id_}.json").read_bytes()
    found: dict[str, Any] = json.loads(file.rpartition(b"\n")[0])
    return found


@pytest.fixture
def service(start: Callable[..., Running], tmp_path: Path) -> Running:
    shutil.copytree(OLD, tmp_path / "store")
    for second, id_ in enumerate((PHILOX, TORCH), 1):
        os.utime(tmp_path / "store" / "plans" / id_[:2] / f"{id_}.json", (second, second))
    return start()


def resource(service: Running, id_: str) -> dict[str, Any]:
    found: dict[str, Any] = service.http.get(f"/v1/checkpoints/{id_}").raise_for_status().json()
    return found


def test_the_fixture_is_what_was_written() -> None:
    assert contents(OLD) == STORED


def test_every_file_is_served_with_its_bytes_and_its_stored_digest(service: Running) -> None:
    for id_, digest in SERVED.items():
        (link,) = resource(service, id_)["links"]["files"].values()
        answer = service.http.get(link, headers={"Want-Repr-Digest": "sha-256=1"})
        assert sha256(answer.content) == digest
        assert answer.headers["repr-digest"]


def test_statistics_are_computed_anew_and_find_what_they_found(service: Running) -> None:
    """The document has a version since; the figures are of the same values."""
    for id_ in SERVED:
        link = resource(service, id_)["links"]["statistics"]
        found, old = service.http.get(link).json(), statistics_of(id_)
        assert found["files"] == old["files"]
        for name, tensor in old["tensors"].items():
            for figure in ("numel", "min", "max", "histogram", "zero_fraction"):
                assert found["tensors"][name][figure] == tensor[figure], (name, figure)


def test_everything_is_listed_by_the_time_when_it_was_stored(service: Running) -> None:
    listed = service.http.get("/v1/checkpoints").json()["checkpoints"]
    assert [(item["id"], item["created"]) for item in listed] == [
        (TORCH, "1970-01-01T00:00:02+00:00"),
        (PHILOX, "1970-01-01T00:00:01+00:00"),
    ]


def test_the_same_spec_has_the_same_id(service: Running) -> None:
    answer = service.http.post("/v1/checkpoints", json=SPEC)
    assert answer.status_code == 200
    assert answer.json() == resource(service, PHILOX)


def test_nothing_that_was_stored_is_changed_by_serving_it(service: Running) -> None:
    for id_ in SERVED:
        (link,) = resource(service, id_)["links"]["files"].values()
        assert service.http.get(link).is_success
    assert contents(service.state.settings.store) == STORED
