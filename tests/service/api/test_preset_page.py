"""Pages of presets, and the parts of the Hub that are not offered."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from seedpoint.models import presets
from tests.support.clients import program
from tests.support.hub import assert_missing, sha
from tests.support.problems import assert_problem
from tests.support.running import Running


def test_a_preset_is_a_page(service: Running) -> None:
    page = service.http.get("/zoo/llama-tiny")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert presets.get("llama-tiny").description in page.text
    assert sha(service, "zoo/llama-tiny") in page.text
    assert "LlamaForCausalLM.from_pretrained(&#34;" in page.text or "from_pretrained(" in page.text
    links = re.findall(r'href="(/zoo/[^"]+)"', page.text)
    assert len(links) == 3
    for link in links:
        size = int(service.http.head(link).headers["content-length"])
        assert f"<td>{size:,}</td>" in page.text
    for link in re.findall(r'href="(/v1/[^"]+)"', page.text):
        assert service.http.get(link).is_success


def test_a_seed_in_the_name_is_the_pages(service: Running) -> None:
    page = service.http.get("/zoo/llama-tiny.seed-7").text
    assert "<b>seed</b>7" in page
    assert sha(service, "zoo/llama-tiny", "seed-7") in page


def test_head_of_a_page_says_what_get_says(service: Running) -> None:
    head, get = (service.http.request(verb, "/zoo/llama-tiny") for verb in ("HEAD", "GET"))
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}
    assert head.content == b""


def test_an_unknown_preset_has_no_page(service: Running) -> None:
    assert_missing(service.http.get("/zoo/%3Cscript%3E"), "RepoNotFound")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer hf_secret"}])
def test_nobody_has_an_account(service: Running, headers: dict[str, str]) -> None:
    answer = service.http.get("/api/whoami-v2", headers=headers)
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-error-code"] == "Unauthorized"


@pytest.mark.parametrize("path", ["/api/models", "/api/datasets/a/b", "/api/nothing", "/api/"])
def test_an_unknown_route_of_the_hub_has_a_code(service: Running, path: str) -> None:
    assert_missing(service.http.get(path), "EntryNotFound")
    assert_missing(service.http.post(path), "EntryNotFound")


def test_other_methods_of_a_route_of_the_hub_are_still_told(service: Running) -> None:
    answer = service.http.delete("/api/models/zoo/llama-tiny")
    assert_problem(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD"


def test_git_tells_its_user_what_to_do(service: Running, tmp_path: Path) -> None:
    git = program("git")
    url = f"{service.url}/zoo/llama-tiny"
    done = subprocess.run(
        [git, "-c", "http.proxy=", "clone", url, str(tmp_path / "clone")],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode != 0
    assert "the service does not offer git; use: hf download zoo/llama-tiny" in done.stderr


def test_git_lfs_is_not_offered(service: Running) -> None:
    answer = service.http.post("/zoo/llama-tiny.git/info/lfs/objects/batch", json={})
    assert_problem(answer, 501, "not-offered")
    assert "zoo/llama-tiny/resolve" in answer.json()["detail"]
    assert_problem(service.http.get("/zoo/llama-tiny/info/refs"), 404)
