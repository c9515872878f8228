"""Digest fields of requests (RFC 9530): `Content-Digest` and `Repr-Digest`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

from seedpoint.service.errors import DigestMismatch

# Active algorithms of the registry (section 7.2), with their names in hashlib and sizes in bytes.
# Others may be ignored (section 2).
ALGORITHMS = {"sha-256": ("sha256", 32), "sha-512": ("sha512", 64)}

# A dictionary's member that is a byte sequence (RFC 9651, sections 3.2 and 3.3.5), with parameters.
_MEMBER = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([^:]*):(?:;[^,]*)?")


def given_digests(name: str, fields: Sequence[str]) -> dict[str, bytes]:
    """Return the digests in the lines of the field `name`, by hashlib's names.

    Digests by other algorithms are left out; the last member of a name counts.

    Raises: DigestMismatch, if a digest is no byte sequence of its algorithm's length.
    """
    found: dict[str, bytes] = {}
    for member in ",".join(fields).split(","):
        key, _, _ = (text := member.strip(" \t")).partition("=")
        if key not in ALGORITHMS:
            continue
        algorithm, size_bytes = ALGORITHMS[key]
        match = _MEMBER.fullmatch(text)
        try:
            digest = base64.b64decode(match[2], validate=True) if match else b""
        except binascii.Error:
            digest = b""
        if len(digest) != size_bytes:
            raise DigestMismatch(
                f"{name}: {key} is not the base64 of {size_bytes} bytes between colons"
            )
        found[algorithm] = digest
    return found
