"""Prefixes, schemes and clients that proxies tell of, and what of that is believed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import typer.testing
from pydantic import ValidationError

from seedpoint.service.cli import app as cli
from seedpoint.service.settings import Settings
from tests.support.running import Running, mlp

PREFIX = "/seed/point"


def paths_in(value: Any) -> list[str]:
    """Every string of a document that is a path on the host."""
    if isinstance(value, dict):
        return [path for inner in value.values() for path in paths_in(inner)]
    if isinstance(value, list):
        return [path for inner in value for path in paths_in(inner)]
    return [value] if isinstance(value, str) and value.startswith("/") else []


def asked(service: Running, method: str, path: str, **request: Any) -> httpx.Response:
    headers = {"X-Forwarded-Prefix": PREFIX, **request.pop("headers", {})}
    return service.http.request(method, path, headers=headers, **request)


def assert_under_prefix(paths: list[str], service: Running) -> None:
    assert paths
    for path in paths:
        assert path.startswith(f"{PREFIX}/"), path
        inner = path.removeprefix(PREFIX)
        assert asked(service, "GET", inner).is_success, path


def test_the_links_of_every_document_have_the_prefix(service: Running) -> None:
    issued = asked(service, "POST", "/v1/checkpoints", json=mlp(3), headers={"Prefer": "wait=60"})
    assert_under_prefix([issued.headers["location"], *paths_in(issued.json()["links"])], service)
    plain = service.http.get(f"/v1/checkpoints/{issued.json()['id']}").json()
    assert plain["links"]["self"] == f"/v1/checkpoints/{plain['id']}"
    assert {**plain, "links": None} == {**issued.json(), "links": None}
    assert list(plain) == list(issued.json())
    page = asked(service, "GET", "/v1/checkpoints?limit=1").json()
    assert_under_prefix([path for item in page["checkpoints"] for path in paths_in(item)], service)
    preset = asked(service, "GET", "/v1/presets/llama-tiny").json()
    assert_under_prefix([preset["links"]["self"]], service)
    assert service.http.get("/v1/presets").json()["presets"][0]["links"]["self"].startswith("/v1/")
    first = asked(service, "GET", "/v1/presets").json()["presets"][0]
    assert_under_prefix([first["links"]["self"]], service)


def test_the_next_page_is_under_the_prefix(service: Running) -> None:
    for seed in (1, 2):
        service.issue(mlp(seed))
    page = asked(service, "GET", "/v1/checkpoints?limit=1").json()
    assert_under_prefix([page["links"]["next"]], service)


def test_the_file_and_the_parts_of_a_post_say_where_they_are(service: Running) -> None:
    accept = {"Accept": "application/octet-stream"}
    file = asked(service, "POST", "/v1/checkpoints", json=mlp(3), headers=accept)
    assert_under_prefix([file.headers["location"], file.headers["content-location"]], service)
    accept = {"Accept": "multipart/mixed"}
    parts = asked(service, "POST", "/v1/checkpoints", json=mlp(3), headers=accept)
    assert int(parts.headers["content-length"]) == len(parts.content)
    places = re.findall(rb"content-location: (\S+)", parts.content, re.IGNORECASE)
    assert len(places) == 3
    assert_under_prefix([place.decode() for place in places], service)
    resource = parts.content.split(b"\r\n\r\n", 1)[1].split(b"\r\n--", 1)[0]
    assert_under_prefix(paths_in(json.loads(resource)["links"]), service)


@pytest.mark.parametrize(
    "page",
    ["/", "/docs", "/redoc", "/zoo/llama-tiny", "/zoo/llama-tiny/resolve/seed-3/", "report"],
)
def test_the_links_of_every_page_have_the_prefix(service: Running, page: str) -> None:
    if page == "report":
        page = f"{service.issue(mlp(3)).headers['location']}/report"
        service.http.get(page, headers={"Prefer": "wait=60"})
    html = asked(service, "GET", page, headers={"Prefer": "wait=60"}).text
    links = re.findall(r'(?:src|href|spec-url)="([^"#]+)"', html)
    links += re.findall(r"url: '([^']+)'", html)
    assert_under_prefix([link for link in links if not link.endswith("/readyz")], service)


def test_the_openapi_document_names_the_prefix_as_its_server(service: Running) -> None:
    found = asked(service, "GET", "/openapi.json").json()
    assert found["servers"] == [{"url": PREFIX}]
    assert "servers" not in service.http.get("/openapi.json").json()


def test_problems_and_fast_answers_are_the_same_under_a_prefix(service: Running) -> None:
    link = service.issue(mlp(3)).json()["links"]["files"]["model.safetensors"]
    assert asked(service, "GET", link).content == service.http.get(link).content
    assert f"{PREFIX}/nothing" in asked(service, "GET", "/nothing").json()["detail"]
    assert asked(service, "DELETE", link).headers["allow"] == "GET, HEAD"


def test_a_prefix_that_is_also_a_route_is_still_a_prefix(service: Running) -> None:
    for prefix in ("/v1", "/zoo", "/api"):
        headers = {"X-Forwarded-Prefix": prefix}
        answer = service.http.post("/v1/checkpoints", json=mlp(3), headers=headers)
        assert answer.headers["location"].startswith(f"{prefix}/v1/checkpoints/")
        hub = service.http.get("/api/models/zoo/llama-tiny", headers=headers)
        assert hub.json()["id"] == "zoo/llama-tiny"


@pytest.mark.parametrize(
    "prefix",
    [
        "//evil.example",
        "https://evil.example",
        "/a//b",
        "/..",
        "/a/../b",
        "/.",
        "seed",
        "/a b",
        "/a'b",
        '/a"b',
        "/<script>",
        "/a%2fb",
        "/a?b",
        "/a#b",
        "/a\\b",
        "/a, /b",
        "/é".encode(),
        "/" + "a" * 200,
        "/",
        "",
    ],
)
def test_a_prefix_that_could_lead_elsewhere_is_ignored(service: Running, prefix: str) -> None:
    answer = service.http.post(
        "/v1/checkpoints", json=mlp(3), headers={"X-Forwarded-Prefix": prefix}
    )
    assert answer.headers["location"].startswith("/v1/checkpoints/")


def test_two_prefixes_are_none(service: Running) -> None:
    fields = [("X-Forwarded-Prefix", "/a"), ("X-Forwarded-Prefix", "/b")]
    answer = service.http.post("/v1/checkpoints", json=mlp(3), headers=fields)
    assert answer.headers["location"].startswith("/v1/checkpoints/")


def test_only_trusted_proxies_are_believed(start: Callable[..., Running]) -> None:
    service = start(forwarded_allow_ips="192.0.2.0/24, 2001:db8::1")
    told = {"X-Forwarded-Prefix": PREFIX, "X-Forwarded-Proto": "https"}
    answer = service.http.post("/v1/checkpoints", json=mlp(3), headers=told)
    assert answer.headers["location"].startswith("/v1/checkpoints/")
    assert f"curl {service.url}/v1" in service.http.get("/", headers=told).text


def test_the_scheme_is_the_proxys(service: Running) -> None:
    page = asked(service, "GET", "/", headers={"X-Forwarded-Proto": "https"}).text
    outer = service.url.replace("http:", "https:") + PREFIX
    assert f"curl {outer}/v1/checkpoints" in page


def test_an_answer_with_links_varies_with_the_fields_of_a_proxy(service: Running) -> None:
    told = {"X-Forwarded-Prefix": PREFIX, "X-Forwarded-Proto": "https"}
    issued = service.http.post("/v1/checkpoints", json=mlp(3), headers=told)
    file = service.http.get(
        issued.json()["links"]["files"]["model.safetensors"][len(PREFIX) :], headers=told
    )
    page = service.http.get("/", headers=told)
    for answer in (issued, page):
        assert "X-Forwarded-Prefix, X-Forwarded-Proto" in answer.headers["vary"]
    assert "vary" not in file.headers
    assert "X-Forwarded" not in service.http.get("/").headers.get("vary", "")


def test_an_answer_does_not_vary_with_fields_that_are_not_trusted(
    start: Callable[..., Running],
) -> None:
    service = start(forwarded_allow_ips="192.0.2.0/24")
    told = {"X-Forwarded-Prefix": PREFIX, "X-Forwarded-Proto": "https"}
    assert "X-Forwarded" not in service.http.get("/", headers=told).headers.get("vary", "")


def test_the_setting_counts_before_the_field(start: Callable[..., Running]) -> None:
    service = start(root_path="/set/")
    for headers in ({}, {"X-Forwarded-Prefix": "/told"}):
        answer = service.http.post("/v1/checkpoints", json=mlp(3), headers=headers)
        assert answer.headers["location"].startswith("/set/v1/checkpoints/")


@pytest.mark.parametrize("path", ["seed", "//seed", "/a/..", "/a b", "/" + "a" * 200])
def test_a_bad_root_path_is_told_by_its_flag(path: str) -> None:
    with pytest.raises(ValidationError, match="must be a path"):
        Settings(root_path=path)
    done = typer.testing.CliRunner().invoke(cli, ["serve", "--root-path", path])
    assert done.exit_code == 2
    assert "--root-path" in done.output


@pytest.mark.parametrize("proxies", ["nginx", "10.0.0.1/8", "*, 10.0.0.1", "10.0.0"])
def test_proxies_are_addresses_and_networks(proxies: str) -> None:
    with pytest.raises(ValidationError, match="must be addresses and networks"):
        Settings(forwarded_allow_ips=proxies)
