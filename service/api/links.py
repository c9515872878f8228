"""Paths of all resources on the host, with the prefix that a proxy removes from requests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic_core import to_json

if TYPE_CHECKING:
    from fastapi import Request

    from seedpoint.service.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class Links:
    """Links of a service under the prefix `root`, which is empty without a proxy."""

    root: str = ""

    @classmethod
    def of(cls, request: Request) -> Links:
        return cls(str(request.scope.get("root_path", "")))

    def to(self, page: str) -> str:
        """Return the link of a page that has no parameters, such as `docs` or `v1/presets`."""
        return f"{self.root}/{page}"

    def checkpoints(self, limit: int | None = None, cursor: str = "") -> str:
        """Return the link of the list of checkpoints, or of the page after `cursor`."""
        query = "" if limit is None else f"?limit={limit}&cursor={cursor}"
        return f"{self.root}/v1/checkpoints{query}"

    def checkpoint(self, id_: str) -> str:
        return f"{self.root}/v1/checkpoints/{id_}"

    def file(self, id_: str, name: str) -> str:
        return f"{self.checkpoint(id_)}/files/{quote(name)}"

    def dcp(self, id_: str, key: str = "") -> str:
        """Return the link of the DCP directory with this key, by default the plain one."""
        return f"{self.checkpoint(id_)}/dcp/{f'{key}/' if key else ''}"

    def tensor(self, id_: str, name: str) -> str:
        return f"{self.checkpoint(id_)}/tensors/{quote(name, safe='')}"

    def plan(self, id_: str) -> str:
        return f"{self.checkpoint(id_)}/plan"

    def slices(self, id_: str) -> str:
        return f"{self.checkpoint(id_)}/slices"

    def statistics(self, id_: str) -> str:
        return f"{self.checkpoint(id_)}/statistics"

    def report(self, id_: str) -> str:
        return f"{self.checkpoint(id_)}/report"

    def blob(self, sha256: str) -> str:
        return f"{self.root}/v1/blobs/{sha256}"

    def preset(self, name: str) -> str:
        return f"{self.root}/v1/presets/{name}"

    def hub_file(self, repo: str, revision: str, name: str) -> str:
        return f"{self.root}/{repo}/resolve/{revision}/{quote(name)}"

    def of_checkpoint(self, id_: str, files: Iterable[str]) -> dict[str, Any]:
        """Return the `links` of the resource of a checkpoint with these files."""
        return {
            "self": self.checkpoint(id_),
            "plan": self.plan(id_),
            "slices": self.slices(id_),
            "statistics": self.statistics(id_),
            "report": self.report(id_),
            "dcp": self.dcp(id_),
            "files": {name: self.file(id_, name) for name in files},
        }

    def within(self, checkpoint: Checkpoint, resource: bytes) -> tuple[bytes, memoryview]:
        """Return a checkpoint's resource with its `links`, split after them.

        The resource may take 100 MB, so the second part is a view of it, not a copy.
        """
        at = resource.index(b'"totals":')  # Only numbers and our own names come before.
        links = to_json(self.of_checkpoint(checkpoint.id, checkpoint.layout.files))
        return resource[:at] + b'"links":' + links + b",", memoryview(resource)[at:]
