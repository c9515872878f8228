"""Every source of errors answers with a problem of one shape, and the service goes on."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from seedpoint.service.api import dependencies
from seedpoint.service.errors import Refusal
from seedpoint.service.http.problems import KINDS
from tests.support.problems import JSON_TYPE, assert_problem, post
from tests.support.running import Running, mlp
from tests.support.waiting import eventually

# --- the body ------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"architecture":' * 100_000,
    ],
)
def test_what_is_not_json_is_400(service: Running, body: bytes) -> None:
    assert_problem(post(service, body), 400, "malformed-body")


@pytest.mark.parametrize("body", [b"null", b"[]", b"3", b'"spec"', b"{}", b"true"])
def test_json_that_is_no_spec_is_422(service: Running, body: bytes) -> None:
    assert_problem(post(service, body), 422, "invalid-spec")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"type": "Linnear"}, "architecture.layers.2.type"),
        ({"out_features": "ten"}, "architecture.layers.2.out_features"),
        ({"out_features": -1}, "architecture.layers.2.out_features"),
        ({"colour": "red"}, "architecture.layers.2.colour"),
        ({"name": "a.b"}, "architecture.layers.2.name"),
        ({"name": "hidden"}, "architecture.layers.2.name"),
    ],
)
def test_a_fault_of_the_spec_has_its_path(
    service: Running, change: dict[str, Any], path: str
) -> None:
    spec = mlp()
    spec["architecture"]["layers"][2].update(change)
    problem = assert_problem(service.issue(spec), 422, "invalid-spec")
    assert path in [error["path"] for error in problem["errors"]]
    assert problem["detail"]


def test_a_rule_that_matches_nothing_is_a_fault(service: Running) -> None:
    spec = mlp()
    spec["init"]["rules"] = [{"match": {"name": "nothing.*"}, "initializer": {"type": "zeros"}}]
    problem = assert_problem(service.issue(spec), 422)
    assert problem["errors"][0]["path"].startswith("init.rules.0")


def test_a_member_named_twice_is_a_fault(service: Running) -> None:
    assert_problem(post(service, b'{"dtype": "float32", "dtype": "bfloat16"}'), 422)


@pytest.mark.parametrize("std", ["NaN", "Infinity", "-Infinity", "-1", "1e999"])
def test_a_std_that_is_no_finite_number_is_a_fault_at_its_place(service: Running, std: str) -> None:
    spec = mlp()
    rule = {"match": {"parameter": "weight"}, "initializer": {"type": "normal", "std": "STD"}}
    spec["init"]["rules"] = [rule]
    body = json.dumps(spec).replace('"STD"', std).encode()
    problem = assert_problem(post(service, body), 422, "invalid-spec")
    assert {error["path"] for error in problem["errors"]} == {"init.rules.0.initializer.std"}


def test_a_seed_of_thousands_of_digits_is_a_fault_at_its_place(service: Running) -> None:
    body = b'{"init": {"seed": ' + b"9" * 5000 + b"}}"
    problem = assert_problem(post(service, body), 422, "invalid-spec")
    assert [error["path"] for error in problem["errors"]] == ["init.seed"]


def test_a_body_that_does_not_arrive_is_not_waited_for(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "BODY_SECONDS", 0.05)
    head = b"POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as client:
        client.sendall(head + b"Content-Length: 100\r\n\r\n{")
        answer = b""
        while data := client.recv(1 << 16):  # Until the connection is closed.
            answer += data
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"body-timeout" in answer


def test_layers_without_number_are_refused_at_once(service: Running) -> None:
    layer: dict[str, Any] = {"type": "ReLU"}
    for _ in range(9):
        layer = {"type": "Repeat", "count": 1000, "layer": layer}
    assert_problem(service.issue({"architecture": layer}), 422)


def test_nesting_that_json_can_hold_but_recursion_cannot_is_a_problem(service: Running) -> None:
    body = b'{"architecture": ' + b'{"type": "Sequential", "layers": [' * 300
    body += b"]}" * 300 + b"}"
    assert post(service, body).status_code in (400, 422)


@pytest.mark.parametrize("content_type", [None, "text/plain", "text/json", "multipart/form-data"])
def test_a_body_of_another_type_is_415(service: Running, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    body = json.dumps(mlp()).encode()
    answer = service.http.post("/v1/checkpoints", content=body, headers=headers)
    assert_problem(answer, 415, "unsupported-media-type")


def test_a_body_of_the_type_that_curl_sends_by_default_is_read(service: Running) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = json.dumps(mlp()).encode()
    answer = service.http.post("/v1/checkpoints", content=body, headers=headers)
    assert answer.json()["id"] == post(service, body).json()["id"]
    form = service.http.post("/v1/checkpoints", content=b"architecture=ReLU", headers=headers)
    assert_problem(form, 415, "unsupported-media-type")
    origin = {**headers, "Origin": "https://elsewhere.example"}
    page = service.http.post("/v1/checkpoints", content=body, headers=origin)
    assert_problem(page, 415, "unsupported-media-type")


def test_no_acceptable_representation_is_406(service: Running) -> None:
    answer = post(service, json.dumps(mlp()).encode(), Accept="text/html")
    assert_problem(answer, 406, "not-acceptable")
    link = service.issue(mlp()).headers["location"]
    tensor = service.http.get(f"{link}/tensors/hidden.bias", headers={"Accept": "image/png"})
    assert_problem(tensor, 406, "not-acceptable")


def test_a_body_over_the_limit_is_413_however_it_is_sent(start: Callable[..., Running]) -> None:
    service = start(max_body_bytes=1000, ready=False)
    assert_problem(post(service, b" " * 1001), 413, "body-too-large")

    def chunks() -> Iterator[bytes]:
        yield from [b" " * 300] * 10

    answer = service.http.post("/v1/checkpoints", content=chunks(), headers=JSON_TYPE)
    assert_problem(answer, 413, "body-too-large")
    assert service.http.get("/healthz").status_code == 200


def test_a_body_over_the_limit_is_refused_before_it_is_sent(start: Callable[..., Running]) -> None:
    service = start(max_body_bytes=1000, ready=False)
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(
            b"POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99999999999999999999\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 4")


# --- paths and parameters ---------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/v1/checkpoints/" + "0" * 64,
        "/v1/checkpoints/xyz",
        "/v1/checkpoints/..%2F..%2Fetc%2Fpasswd",
        f"/v1/checkpoints/{'0' * 64}/files/model.safetensors",
        f"/v1/checkpoints/{'0' * 64}/tensors/x",
        f"/v1/checkpoints/{'0' * 64}/statistics",
    ],
)
def test_what_is_not_there_is_404(service: Running, path: str) -> None:
    assert_problem(service.http.get(path), 404, "not-found")


@pytest.mark.parametrize(
    "what",
    ["files/other.safetensors", "files/..%2Fx", "files/", "tensors/hidden.wieght", "tensors/"],
)
def test_what_a_checkpoint_does_not_have_is_404(service: Running, what: str) -> None:
    link = service.issue(mlp()).headers["location"]
    problem = assert_problem(service.http.get(f"{link}/{what}"), 404, "not-found")
    if "wieght" in what:
        assert "'hidden.weight'" in problem["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/checkpoints", "GET, HEAD, POST"),
        ("PUT", "/v1/checkpoints/x", "GET, HEAD"),
        ("POST", "/v1/checkpoints/x/files/y", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_allowed_is_405_and_says_which_are(
    service: Running, method: str, path: str, allowed: str
) -> None:
    answer = service.http.request(method, path)
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("query", ["limit=0", "limit=many", "limit=1001", "cursor=zzz"])
def test_a_query_that_cannot_be_read_is_422(service: Running, query: str) -> None:
    assert_problem(service.http.get(f"/v1/checkpoints?{query}"), 422, "invalid-parameter")


@pytest.mark.parametrize("text", ["x", "1:2:3:4", "0,0,0", "999", "::-1", "::0", "9" * 400])
def test_a_slice_that_cannot_be_taken_is_422(service: Running, text: str) -> None:
    link = service.issue(mlp()).headers["location"]
    answer = service.http.get(f"{link}/tensors/hidden.weight", params={"slice": text})
    assert_problem(answer, 422, "invalid-parameter")


# --- workers -------------------------------------------------------------------------


def test_a_worker_that_is_killed_is_a_problem_and_the_next_spec_is_issued(
    start: Callable[..., Running],
) -> None:
    service = start()
    small = service.state.builders.small.workers
    (pid,) = small.pids
    os.kill(pid, 19)  # SIGSTOP: it will not answer until it is dead.
    with ThreadPoolExecutor(1) as client:
        waiting = client.submit(service.issue, mlp(), Accept="application/octet-stream")
        eventually(lambda: small.pids_at_work == [pid])
        os.kill(pid, 9)
        answer = waiting.result()
    assert_problem(answer, 503, "worker-lost")
    assert answer.headers["retry-after"] == "1"
    assert service.issue(mlp()).status_code == 201


def test_a_spec_that_takes_too_long_is_a_problem_and_the_next_is_issued(
    start: Callable[..., Running],
) -> None:
    service = start(build_timeout_seconds=2)
    for pid in service.state.builders.pids:
        os.kill(pid, 19)
    (fault,) = assert_problem(service.issue(mlp()), 422, "build-timeout")["errors"]
    assert fault["path"] == "architecture"
    assert fault["message"].startswith("make it smaller or simpler to plan: ")
    assert fault["message"].endswith("longer than 2 seconds to plan")
    eventually(lambda: service.state.builders.warm)  # As /readyz tells.
    assert service.issue(mlp()).status_code == 201


def test_a_small_spec_that_hangs_a_worker_goes_on_to_another(start: Callable[..., Running]) -> None:
    service = start()
    (pid,) = service.state.builders.small.workers.pids
    os.kill(pid, 19)
    assert service.issue(mlp()).status_code == 201


def test_a_full_pool_is_503_and_says_when_to_come_back(start: Callable[..., Running]) -> None:
    service = start(build_queue=0)
    small = service.state.builders.small.workers
    (pid,) = small.pids
    os.kill(pid, 19)
    with ThreadPoolExecutor(1) as client:
        first = client.submit(service.issue, mlp(1))
        eventually(lambda: small.pids_at_work == [pid])
        answer = service.issue(mlp(2))
        os.kill(pid, 18)
        assert first.result().status_code == 201
    assert_problem(answer, 503, "busy")
    assert answer.headers["retry-after"] == "1"
    assert service.issue(mlp(2)).status_code == 201


def test_a_client_that_leaves_frees_its_worker(start: Callable[..., Running]) -> None:
    service = start()
    small = service.state.builders.small.workers
    (pid,) = small.pids
    os.kill(pid, 19)
    body = json.dumps(mlp(1)).encode()
    head = f"POST /v1/checkpoints HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as client:
        client.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        eventually(lambda: small.pids_at_work == [pid])
    eventually(lambda: small.warm and small.pids != [pid])
    assert service.issue(mlp(2)).status_code == 201


# --- anything else -------------------------------------------------------------------


def test_what_nobody_expected_is_500_and_tells_nothing(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start(ready=False)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(service.state.store, "page", broken)
    answer = service.http.get("/v1/checkpoints")
    problem = assert_problem(answer, 500, "internal-error")
    assert "secret" not in json.dumps(problem)
    assert service.http.get("/healthz").status_code == 200


def test_every_refusal_has_a_kind_of_its_own() -> None:
    def below(cls: type) -> Iterator[type]:
        for sub in cls.__subclasses__():
            yield sub
            yield from below(sub)

    assert {cls for cls in below(Refusal) if cls not in KINDS} == set()


def test_no_two_statuses_share_a_type() -> None:
    by_slug: dict[str, set[int]] = {}
    for kind in KINDS.values():
        by_slug.setdefault(kind.slug, set()).add(kind.status)
    assert all(len(statuses) == 1 for statuses in by_slug.values())
