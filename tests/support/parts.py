"""Strict parser of multipart/mixed bodies (RFC 2046, 5.1)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """Part of a body: its fields by lower-case name, and its content."""

    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def location(self) -> str:
        return self.headers["content-location"]


def parts(content_type: str, body: bytes) -> tuple[list[Part], bytes]:
    """Return the parts of `body` and its epilogue."""
    match = re.fullmatch(r"multipart/mixed; boundary=([0-9a-z]{1,70})", content_type)
    assert match, content_type
    delimiter = b"--" + match[1].encode()
    preamble, *rest = (b"\r\n" + body).split(b"\r\n" + delimiter)
    assert preamble == b""
    *inner, last = rest
    assert last.startswith(b"--\r\n"), last[:80]
    found = []
    for text in inner:
        assert text.startswith(b"\r\n")
        head, _, content = text[2:].partition(b"\r\n\r\n")
        lines = head.decode("ascii").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        found.append(Part({name.lower(): value for name, value in headers.items()}, content))
        assert headers["Content-Length"] == str(len(content))
    return found, last[4:]
