"""The OpenAPI document as generators of clients read it, and the pages that show it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import program
from tests.support.running import Running

SAFE = {
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


@pytest.fixture(scope="module")
def document(service: Running) -> dict[str, Any]:
    found: dict[str, Any] = service.http.get("/openapi.json").json()
    return found


def enumerations(schema: Any) -> Iterator[list[Any]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("enum"), list):
            yield schema["enum"]
        for inner in schema.values():
            yield from enumerations(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from enumerations(inner)


def test_operation_ids_are_words_each_used_once(document: dict[str, Any]) -> None:
    ids = [item["operationId"] for path in document["paths"].values() for item in path.values()]
    assert len(ids) == len(set(ids))
    assert [id_ for id_ in ids if not re.fullmatch("[a-z]+(_[a-z]+)+", id_)] == []
    assert {"issue_checkpoint", "get_checkpoint", "list_checkpoints", "get_file"} <= set(ids)
    for path in document["paths"].values():
        assert path.keys() <= {"head", "get", "post", "put"}
        if "head" in path:
            assert path["head"]["operationId"].startswith("head_")


def test_members_of_an_enumeration_differ_in_more_than_their_case(document: dict[str, Any]) -> None:
    found = list(enumerations(document["components"]["schemas"]))
    assert any("bool" in words for words in found)
    assert any("BOOL" in words for words in found)
    for words in found:
        assert len({str(word).lower() for word in words}) == len(words), words


def test_every_reference_leads_to_a_schema(document: dict[str, Any]) -> None:
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert len(references) > 20
    assert references - document["components"]["schemas"].keys() == set()


def test_the_first_example_is_the_plain_one(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/checkpoints"]["post"]["requestBody"]["content"]
    assert next(iter(body["application/json"]["examples"])) == "mlp"


def test_a_generated_client_can_be_imported(service: Running, tmp_path: Path) -> None:
    generate = program("openapi-python-client")
    quiet = tmp_path / "config.yaml"
    quiet.write_text("post_hooks: []\n")
    (tmp_path / "openapi.json").write_bytes(service.http.get("/openapi.json").content)
    command = (generate, "generate", "--path", "openapi.json", "--config", str(quiet))
    options = ("--meta", "none", "--output-path", "generated", "--fail-on-warning")
    subprocess.run([*command, *options], cwd=tmp_path, check=True, timeout=100)
    code = (
        "import pkgutil, importlib, generated\n"
        "for module in pkgutil.walk_packages(generated.__path__, 'generated.'):\n"
        "    importlib.import_module(module.name)\n"
        "from generated.api.checkpoints import get_checkpoint, issue_checkpoint\n"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=100)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/redoc/openapi.json"])
def test_the_pages_have_the_headers_of_the_others(service: Running, path: str) -> None:
    answer = service.http.get(path)
    assert SAFE.items() <= dict(answer.headers).items()
    policy = dict(
        directive.strip().split(" ", 1)
        for directive in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe-inline" not in policy.get("script-src", "")
    assert "http" not in answer.headers["content-security-policy"]


def test_the_scripts_are_what_they_say_they_are(service: Running) -> None:
    for link in re.findall(r'src="([^"]+)"', service.http.get("/docs").text):
        answer = service.http.get(link)
        assert "javascript" in answer.headers["content-type"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_redoc_gets_the_document_without_layers_inside_layers(service: Running) -> None:
    """It expands what it gets as far as it nests, and containers nest without end."""
    document = service.http.get("/openapi.json").json()
    found = service.http.get("/redoc/openapi.json").json()
    layer = found["components"]["schemas"].pop("Layer")
    types = document["components"]["schemas"].pop("Layer")["discriminator"]["mapping"]
    assert found == document
    assert layer["properties"]["type"]["enum"] == list(types)


@pytest.mark.parametrize("page", ["docs", "redoc"])
def test_a_page_renders_under_its_policy(service: Running, page: str, tmp_path: Path) -> None:
    """In a browser, which runs its scripts and then has the operations as elements."""
    browser = program("chromium")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}")
    told = ("--virtual-time-budget=30000", "--enable-logging=stderr", "--dump-dom")
    done = subprocess.run(
        [browser, *flags, *told, f"{service.url}/{page}"],
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    assert "Issue the checkpoint of a spec" in done.stdout
    blocked = [line for line in done.stderr.splitlines() if "Content Security Policy" in line]
    assert all("cdn.redoc.ly/redoc/logo-mini.svg" in line for line in blocked)
