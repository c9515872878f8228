"""Small points of HTTP, each as its RFC has it, on every route."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest

from seedpoint.service.http.json_response import PIECE_BYTES, json_bytes, pieces
from tests.support.problems import assert_problem, post
from tests.support.running import Running, mlp
from tests.support.waiting import eventually

BODY = json.dumps(mlp(9001)).encode()


@pytest.fixture(scope="module")
def base(service: Running) -> str:
    """The path of a checkpoint whose statistics are known."""
    return service.http.post("/v1/checkpoints", json=mlp(9042)).headers["location"]


# --- HEAD --------------------------------------------------------------------------


def test_every_route_that_answers_get_answers_head(service: Running) -> None:
    document = service.http.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        if "{repo}" in path:  # The Hub's protocol says which of its routes have HEAD.
            continue
        assert ("get" in operations) == ("head" in operations), path


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/checkpoints", "{}", "{}/statistics", "{}/report", "{}/files/model.safetensors"),
        *("{}/tensors/hidden.bias", "/v1/architectures", "/v1/initializers", "/v1/version"),
        *("/healthz", "/readyz", "/docs", "/openapi.json", "/v1/checkpoints/x", "/nothing"),
    ],
)
def test_head_says_what_get_says(service: Running, base: str, path: str) -> None:
    path = path.format(base)
    head, got = service.http.head(path), service.http.get(path)
    assert head.status_code == got.status_code
    assert head.content == b""
    said = {name: value for name, value in got.headers.items() if name != "date"}
    assert {name: head.headers.get(name) for name in said} == said


def test_head_counts_no_bytes_of_a_body(service: Running) -> None:
    lines = {}

    def are_counted() -> bool:
        for line in service.http.get("/metrics").text.splitlines():
            if line.startswith("seedpoint_response_body_bytes_total") and "initializers" in line:
                lines["HEAD" if 'method="HEAD"' in line else "GET"] = float(line.split()[1])
        return len(lines) == 2

    for method in ("HEAD", "GET"):
        service.http.request(method, "/v1/initializers")
    eventually(are_counted)  # A request is counted after its last byte is sent.
    assert lines["GET"] > 0
    assert lines["HEAD"] == 0


# --- what the client says -------------------------------------------------------------


def test_several_accept_lines_are_one_list(service: Running, base: str) -> None:
    lines = [("Accept", "text/html"), ("Accept", "application/json")]
    got = service.http.get(f"{base}/tensors/hidden.bias", headers=httpx.Headers(lines))
    assert got.headers["content-type"] == "application/json"
    lines = [("Accept", "application/json;q=0.1"), ("Accept", "application/octet-stream")]
    answer = service.http.post("/v1/checkpoints", json=mlp(9001), headers=httpx.Headers(lines))
    assert answer.headers["content-type"] == "application/octet-stream"


def test_a_compressed_body_is_415_and_says_what_is_read(service: Running) -> None:
    answer = post(service, gzip.compress(BODY), Content_Encoding="gzip")
    problem = assert_problem(answer, 415, "unsupported-media-type")
    assert "gzip" in problem["detail"]
    assert answer.headers["accept-encoding"] == "identity"
    assert post(service, BODY, Content_Encoding="identity").is_success


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8; profile=x",
        'application/json; version="1"; charset="utf-8"',
        "application/json;",
    ],
)
def test_parameters_of_the_content_type_are_no_fault(service: Running, content_type: str) -> None:
    headers = {"Content-Type": content_type, "Prefer": "return=minimal"}
    assert service.http.post("/v1/checkpoints", content=BODY, headers=headers).is_success


def test_another_charset_is_415(service: Running) -> None:
    headers = {"Content-Type": "application/json; profile=x; charset=utf-16"}
    answer = service.http.post("/v1/checkpoints", content=BODY, headers=headers)
    assert_problem(answer, 415, "unsupported-media-type")


# --- problems ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/v1/checkpoints/", "/healthz/", "{}/", "{}/statistics/", "/v1/architectures/"]
)
def test_a_slash_at_the_end_is_another_address(service: Running, base: str, path: str) -> None:
    assert_problem(service.http.get(path.format(base)), 404, "not-found")


def test_problems_of_one_type_have_one_title(service: Running, base: str) -> None:
    answers = [
        service.http.get(path)
        for path in ("/nothing", "/v1/checkpoints/x", f"{base}/files/x", f"{base}/tensors/x")
    ]
    problems = [assert_problem(answer, 404, "not-found") for answer in answers]
    assert {problem["title"] for problem in problems} == {"Not found"}


@pytest.mark.parametrize("text", ["x", "1:2:3:4", "0,0,0", "999"])
def test_a_slice_that_cannot_be_taken_is_named(service: Running, base: str, text: str) -> None:
    answer = service.http.get(f"{base}/tensors/hidden.weight", params={"slice": text})
    problem = assert_problem(answer, 422, "invalid-parameter")
    (error,) = problem["errors"]
    assert error["path"] == "query.slice"
    assert error["message"] == problem["detail"]


@pytest.mark.parametrize("query", ["slise=0:1", "slice=0:1&Digest=sha-256", "x"])
def test_a_parameter_that_a_tensor_has_not_is_named(
    service: Running, base: str, query: str
) -> None:
    answer = service.http.get(f"{base}/tensors/hidden.weight?{query}")
    problem = assert_problem(answer, 422, "invalid-parameter")
    name = query.rpartition("&")[2].partition("=")[0]
    said = f'unknown parameter "{name}"; allowed: slice, digest'
    assert problem["errors"] == [{"path": f"query.{name}", "message": said}]


def test_a_cursor_that_cannot_be_read_is_named(service: Running) -> None:
    answer = service.http.get("/v1/checkpoints?cursor=zzz")
    (error,) = assert_problem(answer, 422, "invalid-parameter")["errors"]
    assert error["path"] == "query.cursor"


def test_a_name_that_nobody_could_mean_is_told_shortly(service: Running, base: str) -> None:
    for kind in ("files", "tensors"):
        problem = assert_problem(service.http.get(f"{base}/{kind}/{'x' * 20_000}"), 404)
        assert len(problem["detail"]) < 300


def test_a_missing_shard_is_told_with_the_first_of_those_there_are(service: Running) -> None:
    spec = mlp(9003, hidden=20_000) | {"max_shard_size": 100_000}
    base = service.issue(spec).headers["location"]
    detail = assert_problem(service.http.get(f"{base}/files/x"), 404)["detail"]
    assert "model-00001-of-" in detail
    assert "more" in detail
    assert len(detail) < 300


# --- the OpenAPI document ------------------------------------------------------------


def operation(service: Running, path: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = service.http.get("/openapi.json").json()["paths"][path][method]
    return found


def test_openapi_gives_the_type_of_a_range_of_a_json_file(service: Running) -> None:
    links = service.issue(mlp() | {"max_shard_size": 5_000}).json()["links"]["files"]
    part = service.http.get(links["model.safetensors.index.json"], headers={"Range": "bytes=-9"})
    found = operation(service, "/v1/checkpoints/{id}/files/{file}", "get")
    assert part.status_code == 206
    assert part.headers["content-type"] in found["responses"]["206"]["content"]


@pytest.mark.parametrize("path", ["files/{file}", "tensors/{name}"])
@pytest.mark.parametrize("method", ["get", "head"])
def test_openapi_says_which_headers_bytes_heed(service: Running, path: str, method: str) -> None:
    found = operation(service, f"/v1/checkpoints/{{id}}/{path}", method)
    names = {item["name"] for item in found["parameters"] if item["in"] == "header"}
    assert names == {
        *("Prefer", "Range", "If-Range", "If-None-Match", "If-Match", "Want-Repr-Digest")
    }
    assert {"404", "412", "416", "422"} <= set(found["responses"])


def test_openapi_says_what_a_post_heeds(service: Running) -> None:
    found = operation(service, "/v1/checkpoints", "post")
    names = {item["name"] for item in found["parameters"] if item["in"] == "header"}
    assert names == {"Prefer", "Want-Repr-Digest"}
    assert {"400", "406", "413", "415", "422", "503"} <= set(found["responses"])


# --- metrics --------------------------------------------------------------------------


def test_warm_workers_are_counted_by_pool(service: Running) -> None:
    text = service.http.get("/metrics").text
    for pool in ("small", "large"):
        assert f'seedpoint_workers_warm{{pool="{pool}"}} 1.0' in text


# --- large documents ------------------------------------------------------------------


def test_a_large_document_is_sent_as_the_client_reads_it() -> None:
    content = bytes(range(256)) * (PIECE_BYTES // 64)

    async def sent() -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            messages.append(dict(message))

        async def receive() -> Any:
            await asyncio.Event().wait()

        await json_bytes(content, 202, {"ETag": '"x"'})({"type": "http"}, receive, send)
        return messages

    first, *bodies = asyncio.run(sent())
    assert first["status"] == 202
    assert (b"content-length", b"%d" % len(content)) in first["headers"]
    assert (b"content-type", b"application/json") in first["headers"]
    assert max(len(message["body"]) for message in bodies) == PIECE_BYTES
    assert b"".join(message["body"] for message in bodies) == content


def test_parts_of_a_large_document_are_sent_without_being_copied_together() -> None:
    parts = [b"{", bytes(3 * PIECE_BYTES + 1), memoryview(b"x}")[:-1], b"}"]
    found = list(pieces(parts))
    assert b"".join(found) == b"".join(parts)
    assert max(map(len, found)) == PIECE_BYTES
    assert all(any(piece.obj is part for part in (*parts, b"x}")) for piece in found)
    assert [bytes(piece) for piece in pieces([b"{", b"}"])] == [b"{}"]
    assert list(pieces([])) == []
