"""The client against a real service."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from safetensors.torch import load, load_file, save
from seedpoint_client import Checkpoint, Client, DigestMismatch, Problem

from tests.support.blob_files import by_file, embedding, rows, sha256
from tests.support.places import ROOT

if TYPE_CHECKING:
    from tests.support.running import Running

SPEC = json.loads((ROOT / "examples" / "mlp.json").read_text())
GOLDEN = json.loads((ROOT / "tests" / "golden" / "examples_sha256.json").read_text())["mlp"]


def test_it_issues_and_downloads(service: Running, tmp_path: Path) -> None:
    with Client(service.url) as client:
        checkpoint = client.issue(SPEC)
        (path,) = client.download(checkpoint, tmp_path / "run")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == GOLDEN
        assert [entry.name for entry in path.parent.iterdir()] == ["model.safetensors"]
        assert client.get(checkpoint.id).id == checkpoint.id
        assert "statistics" in client.issue(SPEC, statistics=True).resource


def test_a_slice_is_that_part_of_the_file(service: Running, tmp_path: Path) -> None:
    with Client(service.url) as client:
        checkpoint = client.issue(SPEC)
        (path,) = client.download(checkpoint, tmp_path)
        whole = load_file(path)["hidden.weight"]
        part = load(client.tensor(checkpoint, "hidden.weight", "2:4,:"))["hidden.weight"]
        assert part.equal(whole[2:4])


def test_shards_come_with_their_index(service: Running, tmp_path: Path) -> None:
    with Client(service.url) as client:
        paths = client.download(client.issue(SPEC | {"max_shard_size": "15kB"}), tmp_path)
    assert "model.safetensors.index.json" in {path.name for path in paths}
    assert len(paths) == 3


def test_it_puts_a_blob_once_and_issues_what_is_read_from_it(
    service: Running, tmp_path: Path
) -> None:
    path = tmp_path / "emb.safetensors"
    path.write_bytes(save({"emb.weight": rows(3000, 400)}))
    with Client(service.url) as client:
        assert not client.has_blob(sha256(path.read_bytes()))
        for _ in range(2):
            name = client.put_blob(path)
            assert name == sha256(path.read_bytes())
            assert client.has_blob(name)
        checkpoint = client.issue(embedding(by_file(name), (3000, 400)))
        (written,) = client.download(checkpoint, tmp_path / "run", verify=True)
        assert load_file(written)["weight"].equal(rows(3000, 400))
        path.write_bytes(b"no safetensors file")
        with pytest.raises(Problem) as refused:
            client.put_blob(path)
        assert refused.value.status == 422
        with pytest.raises(Problem):
            client.has_blob("x")


def test_a_problem_names_the_faults(service: Running) -> None:
    with Client(service.url) as client:
        with pytest.raises(Problem, match=r"architecture\.type: unknown type") as caught:
            client.issue({"architecture": {"type": "Linea"}})
        assert caught.value.status == 422
        assert caught.value.errors[0]["path"] == "architecture.type"
        with pytest.raises(Problem) as unknown:
            client.get("0" * 64)
        assert unknown.value.status == 404


class Cutting(httpx.BaseTransport):
    """Cuts every body off after some bytes, and counts the requests."""

    def __init__(self, after_bytes: int) -> None:
        self.inner = httpx.HTTPTransport()
        self.after_bytes = after_bytes
        self.ranges: list[str | None] = []

    def close(self) -> None:
        self.inner.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.inner.handle_request(request)
        if request.method == "GET" and "/files/" in request.url.path:
            self.ranges.append(request.headers.get("Range"))
            answer.stream = Cut(answer.stream, self.after_bytes)
        return answer


class Cut(httpx.SyncByteStream):
    def __init__(self, stream: Any, after_bytes: int) -> None:
        self.stream, self.left = stream, after_bytes

    def __iter__(self) -> Any:
        for chunk in self.stream:
            yield chunk[: self.left]
            self.left -= len(chunk)
            if self.left < 0:
                raise httpx.ReadError("cut off")

    def close(self) -> None:
        self.stream.close()


def test_a_download_that_is_cut_off_goes_on_where_it_stopped(
    service: Running, tmp_path: Path
) -> None:
    transport = Cutting(10_000)
    with Client(service.url, transport=transport) as client:
        checkpoint = client.issue(SPEC)
        (path,) = client.download(checkpoint, tmp_path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == GOLDEN
    assert transport.ranges == [None, "bytes=10000-", "bytes=20000-", "bytes=30000-"]


def test_a_part_of_another_file_is_not_gone_on_with(service: Running, tmp_path: Path) -> None:
    with Client(service.url) as client:
        other = client.issue(SPEC | {"dtype": "bfloat16"})
        (tmp_path / "model.safetensors.0123.part").write_bytes(b"something else")
        (path,) = client.download(other, tmp_path)
        expected = service.http.get(other.files["model.safetensors"]).content
    assert path.read_bytes() == expected
    assert isinstance(other, Checkpoint)


def test_statistics_are_waited_for(start: Callable[..., Running]) -> None:
    service = start(statistics_wait_seconds=0)
    with Client(service.url) as client:
        client.wait_until_ready()
        checkpoint = client.issue(SPEC, statistics=True)
        assert "progress" in checkpoint.resource
        assert client.statistics(checkpoint)["totals"]["passed"] == 4


def test_what_takes_longer_than_the_client_waits_is_a_timeout() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(202, headers={"Retry-After": "1"}, json={"progress": {}})

    checkpoint = Checkpoint("0", {"links": {"statistics": "/s", "files": {}}})
    with pytest.raises(TimeoutError, match="/s is still being computed"):
        answering(answer).statistics(checkpoint, timeout_seconds=0)


def test_a_download_is_verified_by_its_sha256(service: Running, tmp_path: Path) -> None:
    with Client(service.url) as client:
        checkpoint = client.issue(SPEC)
        assert client.sha256(checkpoint, "model.safetensors") == GOLDEN
        (path,) = client.download(checkpoint, tmp_path, verify=True)
        assert path.exists()
        head = service.http.head(checkpoint.files["model.safetensors"]).headers
        part = tmp_path / f"model.safetensors.{head['ETag'].strip(chr(34))}.part"
        part.write_bytes(bytes(20_000))  # As if what was kept had been damaged.
        with pytest.raises(DigestMismatch, match="not " + GOLDEN):
            client.download(checkpoint, tmp_path, verify=True)
        assert not path.exists()


def test_some_files_may_be_downloaded_alone(service: Running, tmp_path: Path) -> None:
    with Client(service.url) as client:
        checkpoint = client.issue(SPEC | {"max_shard_size": "15kB"})
        name = "model-00001-of-00002.safetensors"
        assert client.download(checkpoint, tmp_path, files=[name]) == [tmp_path / name]


def answering(handler: Callable[[httpx.Request], httpx.Response], **settings: float) -> Client:
    """A client of a service that answers so."""
    return Client("http://seedpoint", transport=httpx.MockTransport(handler), **settings)


def busy(times: int) -> Callable[[httpx.Request], httpx.Response]:
    left = [times]

    def answer(request: httpx.Request) -> httpx.Response:
        left[0] -= 1
        if left[0] >= 0:
            return httpx.Response(503, headers={"Retry-After": "0"})
        return httpx.Response(200, json={"id": "0"})

    return answer


def test_what_a_busy_service_refuses_is_asked_again() -> None:
    assert answering(busy(3)).issue(SPEC).id == "0"
    with pytest.raises(Problem, match="503") as refused:
        answering(busy(3), patience_seconds=-1).issue(SPEC)
    assert refused.value.status == 503


def test_a_service_that_never_gets_ready_is_a_timeout() -> None:
    with pytest.raises(TimeoutError, match="http://seedpoint is not ready"):
        answering(busy(9)).wait_until_ready(timeout_seconds=0)
