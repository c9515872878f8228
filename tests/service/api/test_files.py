"""Files over HTTP: whole, in ranges and conditionally."""

from __future__ import annotations

import json
from collections.abc import Callable
from email import policy
from email.parser import BytesParser
from urllib.parse import quote

import httpx
import pytest
import safetensors.torch
import torch

from tests.support.files import (
    FOREVER,
    break_after,
    exchange,
)
from tests.support.running import Running, mlp


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
    """The content type of each part, and its bytes, as Python's own parser reads them."""
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
    break_after(5_000_000, service, resource["id"], monkeypatch)
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
