"""JSON documents of the Hub's protocol: a repository, its commit and its files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from seedpoint.models.errors import SpecError
from seedpoint.models.files.layout import SUFFIX
from seedpoint.service.checkpoints.checkpoint import Checkpoint, CheckpointFile
from seedpoint.service.checkpoints.hub_revisions import Revision
from seedpoint.service.errors import InvalidParameter, MalformedBody
from seedpoint.service.http.negotiation import JSON
from seedpoint.service.planning.strict_json import parse_json
from seedpoint.service.state import State

# A checkpoint is a function of its name and has no date, but clients require one.
EPOCH = "1970-01-01T00:00:00.000Z"
MAX_PATHS = 10_000  # Fields of one form.

_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"


async def information(service: State, found: Revision, *, blobs: bool) -> dict[str, Any]:
    """Return a repository at a revision; `blobs` adds each file's size and ids."""
    names = list(found.checkpoint.layout.files)
    siblings: list[dict[str, Any]] = [{"rfilename": name} for name in names]
    if blobs:
        for sibling, entry in zip(siblings, await entries(service, found, names), strict=True):
            sibling |= {"size": entry["size"], "blobId": entry["oid"]}
            if (lfs := entry.get("lfs")) is not None:
                sibling["lfs"] = lfs | {"sha256": lfs["oid"]}
    return {
        "_id": found.commit[:24],
        "id": found.repo,
        "modelId": found.repo,
        "author": found.repo.partition("/")[0],
        "sha": found.commit,
        "lastModified": EPOCH,
        "createdAt": EPOCH,
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": ["safetensors", "step0"],
        "usedStorage": found.checkpoint.size_bytes,
        "siblings": siblings,
    }


def commit(found: Revision) -> dict[str, Any]:
    """Return a revision's commit."""
    return {
        "id": found.commit,
        "title": f"Initialized from seed {found.checkpoint.plan.seed}",
        "message": "",
        "date": EPOCH,
        "authors": [{"user": "seedpoint"}],
    }


async def entries(service: State, found: Revision, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the tree entry of each file."""
    return [await _entry(service, found.checkpoint, name) for name in names]


async def _entry(service: State, checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    """Return a file's tree entry; it has `lfs` only if the file's SHA-256 is known.

    Clients compare a download with the SHA-256 in `lfs`.
    """
    file = checkpoint.file(name)
    size = file.size_bytes
    entry = {"type": "file", "path": name, "size": size, "oid": _oid(file)}
    if (digest := await _sha256(service, file)) is not None:
        pointer = _POINTER.format(digest, size)
        entry["lfs"] = {"oid": digest, "size": size, "pointerSize": len(pointer)}
    return entry


async def _sha256(service: State, file: CheckpointFile) -> str | None:
    """Return the SHA-256 (hex) of a file of tensors if it is known, or quick to compute.

    It is computed for checkpoints of up to `unasked_digest_bytes`, and only looked up for larger
    ones. None if it is unknown, and for files without tensors.
    """
    if not file.name.endswith(SUFFIX):
        return None
    checkpoint, settings = file.checkpoint, service.settings
    known = await service.digests.known(checkpoint.id, file.etag)
    if known is not None or checkpoint.size_bytes > settings.unasked_digest_bytes:
        return known
    return await service.digests.get(checkpoint, file, settings.digest_wait_seconds)


def _oid(file: CheckpointFile) -> str:
    """Return the file's git blob id; for a file of tensors, a stand-in that needs no values."""
    if not file.name.endswith(SUFFIX):
        blob = b"blob %d\0" % file.size_bytes + file.file.head
        return hashlib.sha1(blob, usedforsecurity=False).hexdigest()
    return hashlib.sha256(f"{file.checkpoint.id}/oid/{file.name}".encode()).hexdigest()[:40]


def asked_paths(body: bytes, content_type: str) -> list[str]:
    """Return `paths` from a form or a JSON document. Raises MalformedBody, InvalidParameter."""
    if content_type.partition(";")[0].strip().lower() == JSON:
        try:
            document = parse_json(body)
        except SpecError as error:
            raise MalformedBody(str(error)) from None
        paths = document.get("paths", []) if isinstance(document, dict) else None
        paths = [paths] if isinstance(paths, str) else paths
    else:
        try:
            form = parse_qs(body.decode(), max_num_fields=MAX_PATHS, errors="strict")
        except ValueError:
            raise MalformedBody(
                "expected a form with fields `paths`, or JSON with `Content-Type: application/json`"
            ) from None
        paths = form.get("paths", [])
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise InvalidParameter("`paths` must be a list of strings")
    return paths
