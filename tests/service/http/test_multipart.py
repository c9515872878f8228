"""multipart/mixed: the resource, the files and the statistics in one answer and one pass."""

from __future__ import annotations

import email
import email.policy
import hashlib
import json
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from seedpoint.models.files.file_digests import FileDigests
from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.statistics.checkpoint import CheckpointStatistics
from seedpoint.service.checkpoints.checkpoint import Checkpoint
from seedpoint.service.http.multipart import Multipart
from seedpoint.service.statistics.passes import document, room_bytes
from tests.support.parts import Part, parts
from tests.support.places import EXAMPLES
from tests.support.running import Running, mlp
from tests.support.waiting import settled

MIXED = {"Accept": "multipart/mixed", "Prefer": ""}
LARGE = mlp(hidden=700_000)  # 87 MB: more than is digested unasked
FOREVER = mlp(hidden=3_000_000_000) | {"max_shard_size": "900TB"}


def issued(service: Running, spec: dict[str, Any], **headers: str) -> tuple[httpx.Response, Any]:
    answer = service.http.post("/v1/checkpoints", json=spec, headers={**MIXED, **headers})
    assert answer.is_success, answer.text
    found, epilogue = parts(answer.headers["content-type"], answer.content)
    assert epilogue.strip(b" ") == b""
    assert answer.headers["content-length"] == str(len(answer.content))
    assert "transfer-encoding" not in answer.headers
    return answer, found


def test_the_parts_are_the_resource_the_file_and_the_statistics(service: Running) -> None:
    answer, (resource, file, statistics) = issued(service, mlp(201_100))
    assert answer.status_code == 201
    link = answer.headers["location"]
    links = resource.json["links"]
    assert "statistics" not in resource.json
    assert [part.location for part in (resource, file, statistics)] == [
        link,
        links["files"]["model.safetensors"],
        links["statistics"],
    ]
    assert resource.headers["content-type"] == "application/json"
    assert resource.headers["content-disposition"] == 'inline; filename="checkpoint.json"'
    assert file.headers["content-type"] == "application/octet-stream"
    assert file.headers["content-disposition"] == 'attachment; filename="model.safetensors"'
    assert statistics.headers["content-disposition"] == 'inline; filename="statistics.json"'


def test_each_part_is_what_its_location_gives(service: Running) -> None:
    _, found = issued(service, mlp(101))
    for part in found[1:]:
        assert service.http.get(part.location).content == part.content
    resource = service.http.get(found[0].location).json()
    assert resource == found[0].json | {"statistics": found[2].json}


def test_a_known_checkpoint_is_200_and_its_parts_are_the_same(service: Running) -> None:
    first, found = issued(service, mlp(201_102))
    second, again = issued(service, mlp(201_102))
    assert (first.status_code, second.status_code) == (201, 200)
    assert again == found
    assert second.headers["content-type"] == first.headers["content-type"]


def test_statistics_that_are_known_leave_no_epilogue(service: Running) -> None:
    service.http.post("/v1/checkpoints", json=mlp(103))
    answer, _ = issued(service, mlp(103))
    assert answer.content.endswith(b"--\r\n")


def test_values_are_generated_once(start: Callable[..., Running]) -> None:
    service = start()
    issued(service, mlp())
    assert service.generated() == 7946
    statistics = service.http.get(service.issue(mlp()).json()["links"]["statistics"])
    assert statistics.json()["tensors"]["hidden.weight"]["numel"] == 5120
    assert service.generated() == 7946


def test_statistics_of_one_pass_are_those_computed_alone(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    spec = mlp(3, hidden=70_000) | {"dtype": {"default": "float32", "rules": [HALF]}}
    one = start(store=tmp_path / "one", unasked_digest_bytes=0, chunk_bytes=100_000)
    other = start(store=tmp_path / "other", unasked_digest_bytes=0)
    _, (*_, statistics) = issued(one, spec)
    alone = other.http.post("/v1/checkpoints", json=spec).json()["statistics"]
    assert statistics.json == alone


HALF = {"match": {"name": "hidden.weight"}, "dtype": "bfloat16"}


def test_shards_are_parts_of_their_own_with_their_index(service: Running) -> None:
    spec = mlp(104) | {"max_shard_size": 20_480}
    answer, found = issued(service, spec)
    names = [part.location.rpartition("/")[2] for part in found]
    assert names == [
        answer.headers["location"].rpartition("/")[2],
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "statistics",
    ]
    loaded = [safetensors.torch.load(part.content) for part in found[1:3]]
    assert set(loaded[0] | loaded[1]) == set(found[3].json["weight_map"])
    assert found[4].json["tensors"]["output.bias"]["numel"] == 10


def test_minimal_leaves_the_statistics_out(start: Callable[..., Running]) -> None:
    service = start()
    answer, found = issued(service, mlp(), Prefer="return=minimal")
    assert answer.headers["preference-applied"] == "return=minimal"
    assert [part.headers["content-type"] for part in found] == [
        "application/json",
        "application/octet-stream",
    ]
    assert service.state.store.statistics(found[0].json["id"]) is None


def test_a_mail_reader_reads_it_too(service: Running) -> None:
    answer, found = issued(service, mlp(105))
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content, policy=email.policy.HTTP)
    read = [part.get_payload(decode=True) for part in message.iter_parts()]
    assert read[0] == found[0].content
    assert read[2] == found[2].content
    assert message.get_content_type() == "multipart/mixed"
    names = [part.get_filename() for part in message.iter_parts()]
    assert names == ["checkpoint.json", "model.safetensors", "statistics.json"]


def test_small_checkpoints_have_digests_of_the_same_pass(service: Running) -> None:
    _, (_, file, statistics) = issued(service, mlp(106))
    digest = hashlib.sha256(file.content).hexdigest()
    assert statistics.json["files"] == {
        "model.safetensors": {"bytes": len(file.content), "sha256": digest}
    }
    for name, tensor in safetensors.torch.load(file.content).items():
        expected = hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
        assert statistics.json["tensors"][name]["sha256"] == expected


def test_large_checkpoints_have_none(service: Running) -> None:
    _, (_, file, statistics) = issued(service, LARGE)
    assert statistics.json["files"]["model.safetensors"] == {
        "bytes": len(file.content),
        "sha256": None,
    }
    assert {tensor["sha256"] for tensor in statistics.json["tensors"].values()} == {None}


@pytest.mark.parametrize(
    ("accept", "first"),
    [
        ("multipart/mixed, application/json;q=0.9", b"--"),
        ("multipart/*", b"--"),
        ("multipart/mixed;q=0.5, application/json", b"{"),
        ("*/*", b"{"),
    ],
)
def test_the_client_gets_parts_when_it_likes_them_best(
    service: Running, accept: str, first: bytes
) -> None:
    assert service.issue(mlp(1), Accept=accept).content.startswith(first)


# --- failures ------------------------------------------------------------------------


def test_a_failure_in_the_middle_breaks_the_connection(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()
    fail_from(service, monkeypatch, 300_000, service.issue(mlp(hidden=1_000_000)).json()["id"])
    with pytest.raises(httpx.RemoteProtocolError):
        service.http.post("/v1/checkpoints", json=mlp(hidden=1_000_000), headers=MIXED)
    assert service.http.get("/healthz").is_success


def test_a_failure_in_the_first_chunk_is_a_problem(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()
    fail_from(service, monkeypatch, 0, service.issue(mlp()).json()["id"])
    answer = service.http.post("/v1/checkpoints", json=mlp(), headers=MIXED)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"


def fail_from(service: Running, patch: pytest.MonkeyPatch, element: int, id_: str) -> None:
    checkpoint = service.within(service.state.checkpoints.get(id_))
    fill = checkpoint.evaluator.fill

    def broken(tensor: int, begin: int, stop: int, out: Any, observer: Any = None) -> None:
        if begin >= element:
            raise OSError("gone")
        fill(tensor, begin, stop, out, observer)

    patch.setattr(checkpoint.evaluator, "fill", broken, raising=False)


def test_a_client_that_leaves_stops_the_pass(start: Callable[..., Running]) -> None:
    service = start()
    body = json.dumps(FOREVER).encode()
    head = (
        "POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Accept: multipart/mixed\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        received = 0
        while received < 10_000_000:
            received += len(connection.recv(1 << 16))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert settled(service.generated) < 30_000_000


# --- the room that is kept for statistics --------------------------------------------


NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="."), min_size=1, max_size=40
)


FLOATING = ["float32", "bfloat16", "float64", "float8_e5m2"]
LOUD = {"type": "normal", "mean": -1.2345678e-39, "std": 3e38}  # Many digits, and infinities
INITIALIZERS = [LOUD, {"type": "uniform"}, {"type": "constant", "val": 1.0}]


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(NAMES, unique=True, min_size=1, max_size=8))
    shapes = st.lists(st.integers(0, 30), max_size=3)
    dtypes = st.sampled_from(FLOATING)
    tensors = [{"name": name, "shape": draw(shapes), "dtype": draw(dtypes)} for name in names]
    rule = {"match": {}, "initializer": draw(st.sampled_from(INITIALIZERS))}
    return {"architecture": {"type": "tensors", "tensors": tensors}, "init": {"rules": [rule]}}


@given(specs())
def test_there_is_always_room_for_the_statistics(spec: dict[str, Any]) -> None:
    check_room(spec)


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.json")))
def test_there_is_room_for_those_of_every_example_and_not_much_more(name: str) -> None:
    text = (EXAMPLES / f"{name}.json").read_text()
    spec = json.loads(text)
    spec["init"]["generator"] = "philox-v1"
    room, length = check_room(spec)
    assert room < 3 * length + 2000


def check_room(spec: dict[str, Any]) -> tuple[int, int]:
    """The room that is kept for the statistics of `spec`, and the length that they have."""
    made = make_plan(parse_spec(spec))
    evaluator = Evaluator(made.plan, made.blobs)
    checkpoint = Checkpoint(made.plan.id, made.plan, layout(made.plan), evaluator)
    gathered, digests = CheckpointStatistics(made.plan, made.blobs), {}
    for index, tensor in enumerate(made.plan.tensors):
        out = np.empty(tensor.nbytes, np.uint8)
        evaluator.fill(index, 0, tensor.numel, out, gathered.observers.get(tensor.name))
    for file in checkpoint.layout.files.values():
        digests[file.name] = FileDigests(file)
        digests[file.name].update(bytes(file.size_bytes))
    length = len(to_json(document(gathered, checkpoint, digests)))
    room = room_bytes(checkpoint)
    assert length <= room
    return room, length


@given(st.binary(min_size=1), st.binary())
def test_a_frame_is_read_as_it_was_written(first: bytes, second: bytes) -> None:
    frame = Multipart.of("seed")
    openings = [
        frame.opening({"Content-Length": str(len(content))}, first=number == 0)
        for number, content in enumerate((first, second))
    ]
    body = openings[0] + first + openings[1] + second + frame.end(7)
    assert parts(frame.media_type, body) == (
        [Part({"content-length": str(len(content))}, content) for content in (first, second)],
        b" " * 7,
    )
