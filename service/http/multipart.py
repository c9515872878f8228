"""The frame of a `multipart/mixed` body (RFC 2046, 5.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from seedpoint.service.http.negotiation import MIXED


@dataclass(frozen=True, slots=True)
class Multipart:
    """A body of parts, told apart by `boundary`: openings, each before a part, then an end."""

    boundary: str

    @classmethod
    def of(cls, seed: str) -> Multipart:
        """The same for the same seed: the id of the checkpoint, on which all parts depend.

        160 bits of a digest are in no part by chance; nor by design, for who writes them
        into a spec has another id.
        """
        return cls(hashlib.sha256(f"multipart/{seed}".encode()).hexdigest()[:40])

    @property
    def media_type(self) -> str:
        return f"{MIXED}; boundary={self.boundary}"

    def opening(self, headers: Mapping[str, str], *, first: bool = False) -> bytes:
        """What comes before the content of a part; only `Content-*` fields mean anything."""
        before = "" if first else "\r\n"
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{before}--{self.boundary}\r\n{fields}\r\n".encode("latin-1")

    def end(self, epilogue_bytes: int = 0) -> bytes:
        """What comes after the last part; and so many blanks, which readers are to ignore."""
        return f"\r\n--{self.boundary}--\r\n".encode() + b" " * epilogue_bytes
