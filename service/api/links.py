"""Links: paths on the host, with the prefix that a proxy removes from requests."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from pydantic_core import to_json

from seedpoint.models.plan import describe
from seedpoint.service.checkpoints.checkpoint import Checkpoint


def root_of(request: Request) -> str:
    """Return the prefix; empty without a proxy."""
    return str(request.scope.get("root_path", ""))


def checkpoint(root: str, id_: str) -> str:
    return f"{root}/v1/checkpoints/{id_}"


def of_checkpoint(root: str, found: Checkpoint) -> dict[str, Any]:
    """Return the `links` of a checkpoint's resource."""
    return describe.links(found.plan, found.layout, root)


def under(root: str, found: Checkpoint, resource: bytes) -> tuple[bytes, memoryview]:
    """Return a checkpoint's resource with links under `root`, split after the links.

    `resource` has links without a prefix. It may take 100 MB, so the second part is a view of
    it, not a copy. Without a prefix the first part is empty.
    """
    if not root:
        return b"", memoryview(resource)
    plain = to_json(of_checkpoint("", found))
    before = resource.index(plain)  # Only numbers and our own names come before.
    after = memoryview(resource)[before + len(plain) :]
    return resource[:before] + to_json(of_checkpoint(root, found)), after
