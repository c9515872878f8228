"""Framing of a multipart body (RFC 2046, 5.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from seedpoint.service.http.negotiation import MIXED


@dataclass(frozen=True, slots=True)
class Multipart:
    """Framing of a multipart body: an opening before each part, then an end."""

    boundary: str

    @classmethod
    def of(cls, seed: str) -> Multipart:
        """Return the framing whose boundary is derived from `seed`, the checkpoint's id.

        No part contains these 160 bits of a digest by chance. Nobody can plant them either: a
        spec that contains them has another id, and so another boundary.
        """
        return cls(hashlib.sha256(f"multipart/{seed}".encode()).hexdigest()[:40])

    @property
    def media_type(self) -> str:
        return f"{MIXED}; boundary={self.boundary}"

    def opening(self, headers: Mapping[str, str], *, first: bool = False) -> bytes:
        """Return the bytes before a part's content; only `Content-*` fields have a meaning."""
        before = "" if first else "\r\n"
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{before}--{self.boundary}\r\n{fields}\r\n".encode("latin-1")

    def end(self, epilogue_bytes: int = 0) -> bytes:
        """Return the bytes after the last part, and an epilogue of blanks that readers ignore."""
        return f"\r\n--{self.boundary}--\r\n".encode() + b" " * epilogue_bytes
