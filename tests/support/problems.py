"""Checks of problem responses (RFC 9457)."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.running import Running

JSON_TYPE = {"Content-Type": "application/json"}


def assert_problem(answer: httpx.Response, status: int, slug: str | None = None) -> dict[str, Any]:
    """Check the shape of the problem in `answer` and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "errors", "request_id"}
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    if slug is not None:
        assert problem["type"] == f"urn:problem-type:seedpoint:{slug}"
    for error in problem["errors"]:
        assert set(error) == {"path", "message"}
    assert "Traceback" not in answer.text
    return problem


def post(service: Running, body: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return service.http.post("/v1/checkpoints", content=body, headers=JSON_TYPE | named)
