"""Content coding: who gets it, and what never has it."""

from __future__ import annotations

import gzip
import json
import socket
import zlib

import pytest

from seedpoint.service.http.compression import takes_gzip
from tests.support.running import Running, mlp

GZIP = {"Accept-Encoding": "gzip"}
PLAIN = {"Accept-Encoding": "identity"}


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ([], False),
        ([""], False),
        (["gzip"], True),
        (["GZIP"], True),
        (["x-gzip"], True),
        (["deflate, gzip"], True),
        (["deflate", "br, gzip;q=0.1"], True),
        (["*"], True),
        (["gzip;q=0"], False),
        (["gzip; q=0.000"], False),
        (["*;q=0"], False),
        (["gzip;q=0, *"], False),
        (["identity, gzip;q=0.5"], False),
        (["identity;q=0.5, gzip"], True),
        (["identity;q=0, gzip"], True),
        (["gzip;q=nan"], False),
        (["gzip;q=x"], False),
        (["not-gzip"], False),
    ],
)
def test_weights_decide(fields: list[str], taken: bool) -> None:
    assert takes_gzip(fields) == taken


@pytest.mark.parametrize(
    "path", ["/v1/architectures", "/v1/presets", "/openapi.json", "/", "/docs", "/metrics"]
)
def test_documents_and_pages_are_compressed_on_request(service: Running, path: str) -> None:
    plain = service.http.get(path, headers=PLAIN)
    coded = service.http.get(path, headers=GZIP)
    assert "content-encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["vary"]
    assert "Accept-Encoding" in coded.headers["vary"]
    if len(plain.content) > 1000:
        assert coded.headers["content-encoding"] == "gzip"
        assert coded.num_bytes_downloaded < len(plain.content)
    if path not in ("/metrics", "/"):  # Which others change.
        assert coded.content == plain.content


def test_head_says_what_get_says(service: Running) -> None:
    for path in ("/v1/architectures", "/v1/presets", "/v1/version"):
        get = service.http.get(path, headers=GZIP)
        head = service.http.head(path, headers=GZIP)
        assert {**head.headers, "date": ""} == {**get.headers, "date": ""}
        assert head.content == b""


def test_vary_keeps_what_it_said(service: Running) -> None:
    answer = service.http.post("/v1/checkpoints", json=mlp(3), headers=GZIP)
    assert answer.headers["vary"] == "Accept, Prefer, Accept-Encoding"
    assert answer.headers["content-encoding"] == "gzip"
    assert "etag" not in answer.headers


def test_a_large_document_is_compressed_as_it_is_sent(service: Running) -> None:
    tensors = [{"name": f"tensor.{n}", "shape": [2]} for n in range(3000)]
    rules = [{"match": {}, "initializer": {"type": "zeros"}}]
    spec = {"architecture": {"type": "tensors", "tensors": tensors}, "init": {"rules": rules}}
    link = service.issue(spec).headers["location"]
    plain = service.http.get(link, headers=PLAIN)
    coded = service.http.get(link, headers=GZIP)
    assert coded.content == plain.content
    assert coded.headers["content-encoding"] == "gzip"
    assert "content-length" not in coded.headers
    head = service.http.head(link, headers=GZIP)
    assert {**head.headers, "date": ""} == {**coded.headers, "date": ""}


def test_a_large_document_has_a_length_for_http_1_0(service: Running) -> None:
    request = b"GET /openapi.json HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
        client.sendall(request)
        received = b"".join(iter(lambda: client.recv(1 << 16), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head.lower()
    if b"content-encoding: gzip" in head.lower():
        body = gzip.decompress(body)
    assert json.loads(body)["openapi"]


def test_problems_are_compressed_and_small_ones_are_not(service: Running) -> None:
    layers = [{"type": "Linear"}] * 50
    spec = {"architecture": {"type": "Sequential", "layers": layers}}
    large = service.http.post("/v1/checkpoints", json=spec, headers=GZIP)
    assert large.status_code == 422
    assert large.headers["content-encoding"] == "gzip"
    assert len(large.json()["errors"]) >= 50
    assert "content-encoding" not in service.http.get("/nothing", headers=GZIP).headers


@pytest.mark.usefixtures("zoo")
def test_nothing_of_a_checkpoints_bytes_is_compressed(service: Running) -> None:
    resource = service.issue(mlp(3)).json()
    (file,) = resource["links"]["files"].values()
    index = "/zoo/sharded/resolve/main/model.safetensors.index.json"
    tensor = f"{resource['links']['self']}/tensors/hidden.weight"
    for path in (file, tensor, "/zoo/tiny-mlp/resolve/main/model.safetensors", index):
        for headers in ({}, {"Range": "bytes=2-4000"}, {"Range": "bytes=2-4000, 5000-9000"}):
            plain = service.http.get(path, headers=PLAIN | headers)
            asked = service.http.get(path, headers=GZIP | headers)
            assert asked.content == plain.content
            assert asked.headers["content-length"] == plain.headers["content-length"]
            assert "content-encoding" not in asked.headers
            assert "accept-encoding" not in asked.headers.get("vary", "").lower()
    numbers = {"Accept": "application/json"}
    assert service.http.get(tensor, headers=GZIP | numbers).headers["content-encoding"] == "gzip"
    digested = numbers | {"Want-Repr-Digest": "sha-256=1"}
    answer = service.http.get(tensor, headers=GZIP | digested)
    assert "repr-digest" in answer.headers  # Of the bytes that are sent.
    assert "content-encoding" not in answer.headers


def test_a_coded_answer_is_whole_gzip(service: Running) -> None:
    with service.http.stream("GET", "/v1/presets", headers=GZIP) as answer:
        raw = b"".join(answer.iter_raw())
    decoder = zlib.decompressobj(wbits=31)
    decoder.decompress(raw)
    assert decoder.eof
    assert not decoder.unused_data
