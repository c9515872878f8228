"""Errors of the client, beside those of httpx."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

PROBLEM_JSON = "application/problem+json"


class Problem(Exception):
    """Error answer of the service (RFC 9457): `status`, `title`, `detail`, `errors`.

    Each of the `errors` has the `path` of a fault in the spec and a `message`.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.status: int = document["status"]
        self.title: str = document["title"]
        self.detail: str = document.get("detail", "")
        self.errors: list[dict[str, str]] = list(document.get("errors", ()))
        faults = "".join(f"\n  {error['path']}: {error['message']}" for error in self.errors)
        super().__init__(f"{self.status} {self.title}: {self.detail}{faults}")

    def __reduce__(self) -> tuple[type[Problem], tuple[Mapping[str, Any]]]:
        return type(self), (self.document,)


class DigestMismatch(Exception):
    """Downloaded bytes that are not those of the service; the file was removed."""


def check(answer: httpx.Response) -> None:
    """Raise Problem unless the answer, of the service or of a proxy, is a success."""
    if answer.is_success:
        return
    plain = {"status": answer.status_code, "title": answer.reason_phrase or "error"}
    if not answer.headers.get("Content-Type", "").startswith(PROBLEM_JSON):
        raise Problem(plain)
    raise Problem(plain | answer.json())
