"""Files and tensors over HTTP: whole, in ranges, conditionally, and cut short."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from email import policy
from email.parser import BytesParser
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import safetensors.torch
import torch

from tests.support.running import Running, mlp
from tests.support.waiting import eventually, settled

FOREVER = mlp(hidden=3_000_000_000)  # 372 GB


@pytest.fixture(scope="module")
def file(service: Running) -> str:
    """The path of a file of about 33 kB."""
    link: str = service.issue(mlp(42)).json()["links"]["files"]["model.safetensors"]
    return link


@pytest.fixture(scope="module")
def content(service: Running, file: str) -> bytes:
    return service.http.get(file).content


def exchange(service: Running, request: str) -> tuple[str, dict[str, str], bytes]:
    """Sends raw bytes and reads all that comes back: status line, headers, body."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        text = request.replace("\n", "\r\n") + "Host: x\r\nConnection: close\r\n\r\n"
        connection.sendall(text.encode())
        received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return status, headers, body


def test_a_file_is_what_the_safetensors_library_reads(content: bytes) -> None:
    tensors = safetensors.torch.load(content)
    assert tensors["hidden.weight"].shape == (256, 20)
    assert tensors["hidden.weight"].abs().max() <= 20**-0.5


def test_get_and_head_say_the_same_and_head_computes_nothing(
    service: Running, file: str, content: bytes
) -> None:
    got = service.http.get(file)
    before = service.generated()
    head = service.http.head(file)
    assert service.generated() == before
    assert head.content == b""
    assert head.headers["content-length"] == str(len(content))
    differing = {"date"}
    assert {k: v for k, v in head.headers.items() if k not in differing} == {
        k: v for k, v in got.headers.items() if k not in differing
    }


def test_a_file_says_what_it_is(service: Running, file: str) -> None:
    headers = service.http.head(file).headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"] == 'attachment; filename="model.safetensors"'
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["accept-ranges"] == "bytes"
    assert "content-encoding" not in headers


def test_an_etag_is_strong_quoted_and_not_taken_for_a_sha256(service: Running, file: str) -> None:
    etag = service.http.head(file).headers["etag"]
    assert etag[0] == etag[-1] == '"'
    assert len(etag) == 42
    assert int(etag[1:-1], 16)


def test_etags_differ_by_seed_and_by_file(service: Running) -> None:
    files = [
        link
        for seed in (1, 2)
        for link in service.issue(mlp(seed) | {"max_shard_size": 20_480})
        .json()["links"]["files"]
        .values()
    ]
    assert len(files) == 6
    assert len({service.http.head(link).headers["etag"] for link in files}) == 6


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("0-0", 0, 1), ("8-99", 8, 100), ("1001-1234", 1001, 1235), ("30000-", 30000, None)],
)
def test_a_range_is_206_and_the_files_slice(
    service: Running, file: str, content: bytes, asked: str, start: int, stop: int | None
) -> None:
    expected = content[start:stop]
    status, headers, body = exchange(service, f"GET {file} HTTP/1.1\nRange: bytes={asked}\n")
    assert status == "HTTP/1.1 206 Partial Content"
    last = start + len(expected) - 1
    assert headers["content-range"] == f"bytes {start}-{last}/{len(content)}"
    assert headers["content-length"] == str(len(expected))
    assert body == expected


@pytest.mark.parametrize("asked", ["-1", "-9999999999999999999"])
def test_a_suffix_is_the_files_end(service: Running, file: str, content: bytes, asked: str) -> None:
    got = service.http.get(file, headers={"Range": f"bytes={asked}"})
    assert got.status_code == 206
    assert content.endswith(got.content)


@pytest.mark.parametrize(
    "asked",
    [
        *(
            "bytes=",
            "bytes=a-b",
            "bytes=5-1",
            "lines=0-1",
            "bytes 0-1",
            "bytes=0-1,x-",
            "bytes=--1",
        ),
        *("bytes=0-1;2-3", "bytes=0x0-1", "0-1", "bytes", "bytes=0-1-2", "bytes=\xb2-\xb3", "=0-1"),
        "bytes=" + "0-0," * 10_000,
        "bytes=" + ",".join(f"{2 * place}-{2 * place}" for place in range(65)),
    ],
    ids=lambda asked: asked[:20],
)
def test_what_is_malformed_or_too_much_is_ignored(
    service: Running, file: str, content: bytes, asked: str
) -> None:
    got = service.http.get(file, headers={"Range": asked.encode("latin-1")})
    assert got.status_code == 200
    assert got.content == content


def parts_of(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """What each part says it is, and its bytes, as Python's own parser reads them."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=policy.HTTP).parsebytes(head + answer.content)
    assert message.is_multipart()
    assert not message.defects
    found = []
    for part in message.iter_parts():  # type: ignore[attr-defined]
        assert part["content-type"] == "application/octet-stream"
        found.append((part["content-range"], part.get_payload(decode=True)))
    return found


@pytest.mark.parametrize(
    ("asked", "spans"),
    [
        ("0-0,-1", [(0, 1), (-1, None)]),
        ("0-99, 1000-1999 ,30000-", [(0, 100), (1000, 2000), (30000, None)]),
        ("5000-5001,0-9", [(5000, 5002), (0, 10)]),
        ("500-600,601-999", [(500, 601), (601, 1000)]),
        ("20-29,0-9,5-14,99999999-", [(0, 15), (20, 30)]),
        (
            ",".join(f"{9 * n}-{9 * n + 4}" for n in range(64)),
            [(9 * n, 9 * n + 5) for n in range(64)],
        ),
    ],
)
def test_several_ranges_are_parts(
    service: Running,
    file: str,
    content: bytes,
    asked: str,
    spans: list[tuple[int, int | None]],
) -> None:
    got = service.http.get(file, headers={"Range": f"bytes={asked}"})
    assert got.status_code == 206
    assert got.headers["content-type"].startswith("multipart/byteranges; boundary=")
    assert got.headers["content-length"] == str(len(got.content))
    assert "content-range" not in got.headers
    assert got.headers["etag"] == service.http.head(file).headers["etag"]
    size = len(content)
    expected = []
    for start, stop in spans:
        first, last, _ = slice(start, stop).indices(size)
        expected.append((f"bytes {first}-{last - 1}/{size}", content[first:last]))
    assert parts_of(got) == expected


def test_ranges_that_overlap_to_one_are_no_parts(
    service: Running, file: str, content: bytes
) -> None:
    got = service.http.get(file, headers={"Range": "bytes=5-9,0-6,2-2"})
    assert got.status_code == 206
    assert got.headers["content-range"] == f"bytes 0-9/{len(content)}"
    assert got.content == content[:10]


def test_several_ranges_of_a_huge_file_are_there_at_once(service: Running) -> None:
    (file,) = service.issue(FOREVER | {"max_shard_size": "900TB"}).json()["links"]["files"].values()
    asked = ",".join(f"{10**11 + n * 10**9}-{10**11 + n * 10**9 + 15}" for n in range(64))
    got = service.http.get(file, headers={"Range": f"bytes={asked}"})
    parts = parts_of(got)
    assert len(parts) == 64
    alone = service.http.get(
        file, headers={"Range": f"bytes={10**11 + 10**9}-{10**11 + 10**9 + 15}"}
    )
    assert parts[1][1] == alone.content


def test_a_part_that_fails_breaks_the_connection(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()
    resource = service.issue(mlp(hidden=1_000_000)).json()
    checkpoint = service.state.checkpoints._loaded.get(resource["id"])
    fill = checkpoint.evaluator.fill

    def broken(tensor: int, begin: int, stop: int, out: Any, observer: Any = None) -> None:
        if begin > 5_000_000:
            raise OSError("gone")
        fill(tensor, begin, stop, out, observer)

    monkeypatch.setattr(checkpoint.evaluator, "fill", broken, raising=False)
    (file,) = resource["links"]["files"].values()
    asked = "Range: bytes=0-9,60000000-60000009"
    status, headers, body = exchange(service, f"GET {file} HTTP/1.1\n{asked}\n")
    assert status == "HTTP/1.1 206 Partial Content"
    assert len(body) < int(headers["content-length"])


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0"])
def test_a_range_past_the_end_is_416_with_the_size(
    service: Running, file: str, content: bytes, asked: str
) -> None:
    got = service.http.get(file, headers={"Range": asked})
    assert got.status_code == 416
    assert got.headers["content-range"] == f"bytes */{len(content)}"
    assert got.headers["content-type"] == "application/problem+json"


def test_head_ignores_a_range(service: Running, file: str, content: bytes) -> None:
    head = service.http.head(file, headers={"Range": "bytes=0-1"})
    assert head.status_code == 200
    assert head.headers["content-length"] == str(len(content))


def test_what_the_client_has_is_304_without_a_body(service: Running, file: str) -> None:
    etag = service.http.head(file).headers["etag"]
    for tags in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        for method in ("GET", "HEAD"):
            got = service.http.request(method, file, headers={"If-None-Match": tags})
            assert got.status_code == 304
            assert got.headers["etag"] == etag
            assert got.content == b""
            assert "content-length" not in got.headers
    assert service.http.get(file, headers={"If-None-Match": '"other"'}).status_code == 200


def test_if_range_with_another_etag_is_the_whole_file(service: Running, file: str) -> None:
    etag = service.http.head(file).headers["etag"]
    ranged = {"Range": "bytes=0-9"}
    assert service.http.get(file, headers={"If-Range": etag, **ranged}).status_code == 206
    assert service.http.get(file, headers={"If-Range": '"other"', **ranged}).status_code == 200


def test_if_range_with_a_date_is_the_whole_file(service: Running, file: str) -> None:
    dated = {"Range": "bytes=0-9", "If-Range": "Sat, 21 Nov 2026 04:00:00 GMT"}
    assert service.http.get(file, headers=dated).status_code == 200


def test_no_coding_is_ever_applied(service: Running, file: str, content: bytes) -> None:
    for coding in ("gzip, br, zstd", "identity;q=0, *;q=1", ""):
        got = service.http.get(file, headers={"Accept-Encoding": coding})
        assert "content-encoding" not in got.headers
        assert got.content == content


HOSTILE = [
    "../../../etc/passwd",
    "..",
    ".",
    "%2e%2e",
    "\x00",
    "a b",
    "ü",
    "\udcff",
    "\r\nX: y",
    "a" * 5000,
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("where", ["id", "file", "tensor"])
def test_whatever_a_path_names_is_there_or_404(
    service: Running, file: str, name: str, where: str
) -> None:
    encoded = quote(name, safe="", errors="surrogateescape").replace(".", "%2e")
    base = file.removesuffix("/files/model.safetensors")
    paths = {
        "id": [f"/v1/checkpoints/{encoded}", f"/v1/checkpoints/{encoded}/files/model.safetensors"],
        "file": [f"{base}/files/{encoded}", f"{base}/files/x%2f{encoded}"],
        "tensor": [f"{base}/tensors/{encoded}"],
    }
    for path in paths[where]:
        status, headers, body = exchange(service, f"GET {path} HTTP/1.1\n")
        assert status == "HTTP/1.1 404 Not Found"
        assert headers["content-type"] == "application/problem+json"
        assert "x" not in headers
        assert json.loads(body)["status"] == 404


def test_if_match_with_another_etag_is_412(service: Running, file: str) -> None:
    got = service.http.get(file, headers={"If-Match": '"other"'})
    assert got.status_code == 412
    assert got.json()["type"].endswith("precondition-failed")


def test_a_range_deep_in_a_huge_file_is_there_at_once(service: Running) -> None:
    (file,) = service.issue(FOREVER | {"max_shard_size": "900TB"}).json()["links"]["files"].values()
    before = service.generated()
    got = service.http.get(file, headers={"Range": "bytes=123456789012-123456789111"})
    assert got.status_code == 206
    assert len(got.content) == 100
    assert service.generated() - before < 100
    again = service.http.get(file, headers={"Range": "bytes=123456789000-123456789099"})
    assert again.content[12:] == got.content[:88]


def test_shards_and_their_index_are_there(service: Running) -> None:
    files = service.issue(mlp(3) | {"max_shard_size": 20_480}).json()["links"]["files"]
    index = service.http.get(files["model.safetensors.index.json"])
    assert index.headers["content-type"] == "application/json"
    whole = safetensors.torch.load(
        service.http.get(
            service.issue(mlp(3)).json()["links"]["files"]["model.safetensors"]
        ).content
    )
    for name, shard in index.json()["weight_map"].items():
        tensors = safetensors.torch.load(service.http.get(files[shard]).content)
        assert torch.equal(tensors[name], whole[name])


def test_chunks_of_any_size_give_the_same_file(
    start: Callable[..., Running], service: Running
) -> None:
    spec = mlp(5, hidden=20_000)
    (link,) = service.issue(spec).json()["links"]["files"].values()
    whole = service.http.get(link).content
    other = start(chunk_bytes=4096, threads=3, look_ahead_chunks=5)
    other.issue(spec)
    assert other.http.get(link).content == whole
    got = other.http.get(link, headers={"Range": "bytes=4097-2000001"})
    assert got.content == whole[4097:2000002]


# --- clients that leave ------------------------------------------------------------


def leave(service: Running, request: bytes, read_bytes: int) -> None:
    """Sends a request, reads some of the answer and breaks the connection."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(request)
        received = 0
        while received < read_bytes:
            received += len(connection.recv(min(1 << 16, read_bytes - received)))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_client_that_leaves_stops_the_work(start: Callable[..., Running]) -> None:
    service = start()
    (file,) = service.issue(FOREVER | {"max_shard_size": "900TB"}).json()["links"]["files"].values()
    leave(service, f"GET {file} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 10_000_000)
    # 10 MB are 2.5 million elements, and sockets hold a few more.
    assert settled(service.generated) < 30_000_000


def test_a_client_that_stops_reading_stops_the_work(start: Callable[..., Running]) -> None:
    service = start()
    (file,) = service.issue(FOREVER | {"max_shard_size": "900TB"}).json()["links"]["files"].values()
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(f"GET {file} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.recv(1000)
        assert settled(service.generated) < 30_000_000


def test_a_client_that_leaves_stops_the_statistics(start: Callable[..., Running]) -> None:
    service = start(statistics_wait_seconds=1000)
    body = json.dumps(mlp(hidden=50_000_000)).encode()
    head = f"POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        eventually(service.generated)
    assert settled(service.generated) < 31 * 50_000_000 / 2


def test_a_body_that_fails_breaks_the_connection(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()
    resource = service.issue(mlp(hidden=1_000_000)).json()
    checkpoint = service.state.checkpoints._loaded.get(resource["id"])
    fill = checkpoint.evaluator.fill

    def broken(tensor: int, begin: int, stop: int, out: Any, observer: Any = None) -> None:
        if begin > 5_000_000:
            raise OSError("gone")
        fill(tensor, begin, stop, out, observer)

    monkeypatch.setattr(checkpoint.evaluator, "fill", broken, raising=False)
    (file,) = resource["links"]["files"].values()
    status, headers, body = exchange(service, f"GET {file} HTTP/1.1\n")
    assert status == "HTTP/1.1 200 OK"
    assert len(body) < int(headers["content-length"])


# --- tensors -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def tensors(service: Running) -> tuple[str, dict[str, torch.Tensor]]:
    resource = service.issue(mlp(42)).json()
    (file,) = resource["links"]["files"].values()
    loaded = safetensors.torch.load(service.http.get(file).content)
    return resource["links"]["self"] + "/tensors/", loaded


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("", ...),
        ("3", 3),
        ("0:128,:", np.s_[0:128, :]),
        (":,0", np.s_[:, 0]),
        ("::7,1:-1:3", np.s_[::7, 1:-1:3]),
        ("-5:", np.s_[-5:]),
        ("7,7", np.s_[7, 7]),
        ("5:5", np.s_[5:5]),
    ],
)
def test_a_slice_is_the_whole_tensors_slice(
    service: Running, tensors: tuple[str, dict[str, torch.Tensor]], text: str, index: Any
) -> None:
    base, whole = tensors
    expected = whole["hidden.weight"][index]
    got = service.http.get(base + "hidden.weight", params={"slice": text})
    assert got.headers["content-type"] == "application/octet-stream"
    (loaded,) = safetensors.torch.load(got.content).items()
    assert loaded[0] == "hidden.weight"
    assert torch.equal(loaded[1], expected)
    asked = {"Accept": "application/json"}
    numbers = service.http.get(base + "hidden.weight", params={"slice": text}, headers=asked).json()
    assert numbers["shape"] == list(expected.shape)
    assert torch.equal(torch.tensor(numbers["values"]).reshape(expected.shape), expected)


def test_a_slice_takes_ranges_and_conditions(
    service: Running, tensors: tuple[str, dict[str, torch.Tensor]]
) -> None:
    link = tensors[0] + "hidden.weight?slice=:,::3"
    whole = service.http.get(link)
    part = service.http.get(link, headers={"Range": "bytes=101-333"})
    assert part.status_code == 206
    assert part.content == whole.content[101:334]
    etag = whole.headers["etag"]
    assert service.http.get(link, headers={"If-None-Match": etag}).status_code == 304
    other = service.http.head(tensors[0] + "hidden.weight?slice=:,::2").headers["etag"]
    assert other != etag


def test_short_runs_of_a_large_tensor_are_picked_right(service: Running) -> None:
    layers = [{"type": "Linear", "in_features": 3000, "out_features": 700}]
    resource = service.issue({"architecture": {"type": "Sequential", "layers": layers}}).json()
    (file,) = resource["links"]["files"].values()
    whole = safetensors.torch.load(service.http.get(file).content)["0.weight"]
    base = resource["links"]["self"] + "/tensors/0.weight"
    for text, index in ((":,17", np.s_[:, 17]), ("::699,::2", np.s_[::699, ::2])):
        got = service.http.get(base, params={"slice": text})
        assert torch.equal(safetensors.torch.load(got.content)["0.weight"], whole[index])


def test_bfloat16_as_json_is_exact(service: Running) -> None:
    resource = service.issue(mlp(1) | {"dtype": "bfloat16"}).json()
    base = resource["links"]["self"] + "/tensors/output.bias"
    exact = safetensors.torch.load(service.http.get(base).content)["output.bias"]
    values = service.http.get(base, headers={"Accept": "application/json"}).json()["values"]
    assert values == exact.double().tolist()


def test_more_elements_than_json_is_given_for_are_a_problem(start: Callable[..., Running]) -> None:
    service = start(max_json_elements=20)
    base = service.issue(mlp()).headers["location"] + "/tensors/hidden.weight"
    asked = {"Accept": "application/json"}
    assert service.http.get(base + "?slice=0", headers=asked).is_success
    refused = service.http.get(base + "?slice=:2", headers=asked)
    assert refused.status_code == 422
    assert "20" in refused.json()["detail"]


@pytest.mark.parametrize(
    "name", ["fc2 ", " ", "a/b", "ü.é", "100%", "a?b#c", "x+y", "naïve\n", "..", "a//b", "%2F"]
)
def test_any_name_can_be_asked_for(service: Running, name: str) -> None:
    spec = {
        "architecture": {
            "type": "tensors",
            "tensors": [{"name": name, "shape": [2], "dtype": "float32"}],
        },
        "init": {"rules": [{"match": {}, "initializer": {"type": "constant", "val": 2.0}}]},
    }
    issued = service.issue(spec)
    assert issued.status_code in (200, 201), issued.text
    path = f"{issued.headers['location']}/tensors/{quote(name, safe='')}"
    status, _, body = exchange(service, f"GET {path} HTTP/1.1\nAccept: application/json\n")
    assert status == "HTTP/1.1 200 OK", body
    assert json.loads(body) == {"name": name, "dtype": "F32", "shape": [2], "values": [2.0, 2.0]}


def test_a_tensor_answers_under_an_alias_too(service: Running) -> None:
    tied = {
        "type": "Sequential",
        "layers": [
            {"name": "a", "type": "Linear", "in_features": 4, "out_features": 4},
            {"name": "b", "type": "Ref", "ref": "a"},
        ],
    }
    base = service.issue({"architecture": tied}).headers["location"] + "/tensors/"
    first = safetensors.torch.load(service.http.get(base + "a.weight").content)["a.weight"]
    second = safetensors.torch.load(service.http.get(base + "b.weight").content)["b.weight"]
    assert torch.equal(first, second)
