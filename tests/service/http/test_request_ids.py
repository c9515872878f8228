"""Ids of requests: taken or made, in answers, log lines and problems."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import httpx
import pytest

from tests.support.process import Process
from tests.support.running import Running, mlp

MADE = re.compile("[0-9a-f]{32}")


@pytest.mark.parametrize("given", ["a", "req-1.2_3~4", "A/b+c=:@", "x" * 128])
def test_an_id_that_is_given_is_kept(service: Running, given: str) -> None:
    for path in ("/healthz", "/nothing", "/docs", "/v1/presets"):
        answer = service.http.get(path, headers={"X-Request-Id": given})
        assert answer.headers.get_list("x-request-id") == [given]


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "a;b", '"', "é".encode()])
def test_an_id_that_could_do_harm_is_replaced(service: Running, given: str) -> None:
    answer = service.http.get("/nothing", headers={"X-Request-Id": given})
    (found,) = answer.headers.get_list("x-request-id")
    assert MADE.fullmatch(found)
    assert answer.json()["request_id"] == found


def test_ids_that_are_made_differ(service: Running) -> None:
    def made() -> str:
        return httpx.get(f"{service.url}/healthz", trust_env=False).headers["x-request-id"]

    assert MADE.fullmatch(first := made())
    assert first != made()


def test_files_and_their_conditions_have_it(service: Running) -> None:
    (link,) = service.issue(mlp(3)).json()["links"]["files"].values()
    etag = service.http.head(link).headers["etag"]
    for fields, status in (
        ({}, 200),
        ({"Range": "bytes=0-3"}, 206),
        ({"If-None-Match": etag}, 304),
        ({"If-Match": '"x"'}, 412),
        ({"Range": "bytes=99999999-"}, 416),
    ):
        answer = service.http.get(link, headers={"X-Request-Id": "mine"} | fields)
        assert answer.status_code == status
        assert answer.headers["x-request-id"] == "mine"
        if status >= 400:
            assert answer.json()["request_id"] == "mine"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"\x00\xff\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nX-Request-Id: mine\r\n\r\n", "mine"),  # Without Host.
        (b"GET / HTTP/1.1\r\nX-Request-Id: mine\r\nHost: x\r\nX: " + b"a" * 1_000_000, "mine"),
        (b"GET / HTTP/1.1\r\nX-Request-Id: a b\r\n\r\n", None),
    ],
)
def test_problems_of_the_parser_have_it(
    service: Running, sent: bytes, expected: str | None
) -> None:
    received = b""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
        try:
            client.sendall(sent)
            while data := client.recv(1 << 16):
                received += data
        except ConnectionError:  # What is not read any more resets the connection.
            pass
    head, _, body = received.partition(b"\r\n\r\n")
    (field,) = re.findall(rb"x-request-id: (\S+)", head)
    assert json.loads(body)["request_id"] == field.decode()
    assert field.decode() == expected if expected else MADE.fullmatch(field.decode())


def test_a_refused_request_has_no_id_of_the_one_before(service: Running) -> None:
    first = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: first\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
        client.sendall(first)
        assert b"x-request-id: first" in client.recv(1 << 16)
        client.sendall(b"\x00\xff\r\n\r\n")
        received = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert b"HTTP/1.1 400" in received
    assert b"first" not in received


def test_the_log_has_ids_and_no_polls(tmp_path: Path) -> None:
    process = Process(tmp_path)
    try:
        process.get_ready()
        with httpx.Client(base_url=process.url, trust_env=False) as http:
            for path in ("/healthz", "/readyz", "/metrics"):
                assert http.get(path).is_success
            http.get("/nothing", headers={"X-Request-Id": "mine"})
        assert process.popen.stderr is not None
        lines = process.lines
        while lines[-1]["event"] != "ready":
            lines.append(json.loads(process.popen.stderr.readline()))
        process.popen.terminate()
        lines += [json.loads(line) for line in process.popen.stderr]
    finally:
        process.end()
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["path"], line["request_id"]) for line in requests] == [("/nothing", "mine")]
    assert [line["level"] for line in lines if line["event"] == "ready"] == ["info"]
    assert not any("request_id" in line for line in lines if line["event"] == "ready")
