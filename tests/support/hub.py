"""Client of the Hub's routes."""

from __future__ import annotations

import re
from urllib.parse import quote

import httpx

from tests.support.running import Running

SHA = re.compile(r"[0-9a-f]{40}")
FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"


def get(service: Running, path: str, **headers: str) -> httpx.Response:
    return service.http.get(path, headers={k.replace("_", "-"): v for k, v in headers.items()})


def encoded(text: str) -> str:
    """Encode `text` as one path segment that no client normalizes."""
    return quote(text, safe="", errors="surrogateescape").replace(".", "%2e")


def sha(service: Running, repo: str, revision: str = "main") -> str:
    found: str = get(service, f"/api/models/{repo}/revision/{revision}").json()["sha"]
    return found


def assert_missing(answer: httpx.Response, code: str) -> None:
    assert answer.status_code == 404
    assert answer.headers["x-error-code"] == code
    assert 0 < len(answer.headers["x-error-message"]) <= 500
    assert answer.headers["x-error-message"].isprintable()
    assert "x-other" not in answer.headers
    if answer.request.method != "HEAD":
        assert answer.headers["content-type"] == "application/problem+json"
