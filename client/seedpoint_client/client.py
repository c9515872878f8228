"""Issuing checkpoints over HTTP, and downloads that go on where they stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

RETRIES = 5


class Problem(Exception):
    """What the service answered instead (RFC 9457): `status`, `title`, `detail`, `errors`.

    `errors` are objects with the `path` of a fault in the spec and a `message`.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.status: int = document["status"]
        self.title: str = document["title"]
        self.detail: str = document.get("detail", "")
        self.errors: list[dict[str, str]] = list(document.get("errors", ()))
        faults = "".join(f"\n  {error['path']}: {error['message']}" for error in self.errors)
        super().__init__(f"{self.status} {self.title}: {self.detail}{faults}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An issued checkpoint: its id and the whole resource as the service describes it."""

    id: str
    resource: Mapping[str, Any]

    @property
    def files(self) -> Mapping[str, str]:
        """The path on the service of each file, by name."""
        links: Mapping[str, str] = self.resource["links"]["files"]
        return links


class Client:
    """A connection to the service at `url`; a context manager. Not for use by many threads."""

    def __init__(self, url: str, *, timeout_seconds: float = 60.0) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout_seconds)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def issue(self, spec: Mapping[str, Any], *, statistics: bool = False) -> Checkpoint:
        """The checkpoint of a spec. Raises Problem for one that cannot be issued.

        The same spec gives the same checkpoint, so this may be repeated at will.
        """
        prefer = {} if statistics else {"Prefer": "return=minimal"}
        answer = self._http.post("/v1/checkpoints", json=spec, headers=prefer)
        return _checkpoint(answer)

    def get(self, id: str) -> Checkpoint:
        """An issued checkpoint. Raises Problem (404) for an unknown id."""
        return _checkpoint(self._http.get(f"/v1/checkpoints/{quote(id)}"))

    def download(self, checkpoint: Checkpoint, directory: str | Path) -> list[Path]:
        """Every file of a checkpoint into `directory`, each whole or not there.

        What was cut off is kept as `NAME.part`, and gone on with, by this call and by a later
        one: the bytes are the same at any time. Raises Problem, httpx.TransportError.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        return [self._download(link, directory / name) for name, link in checkpoint.files.items()]

    def tensor(self, checkpoint: Checkpoint, name: str, slice: str = "") -> bytes:
        """One tensor, or a slice such as `0:128,:`, as the bytes of a small safetensors file."""
        path = f"/v1/checkpoints/{checkpoint.id}/tensors/{quote(name, safe='')}"
        answer = self._http.get(path, params={"slice": slice} if slice else {})
        _check(answer)
        return answer.content

    def _download(self, link: str, path: Path) -> Path:
        head = self._http.head(link)
        _check(head)
        size, etag = int(head.headers["Content-Length"]), head.headers["ETag"]
        # Named after the entity tag, so that one file is never continued with another's bytes.
        part = path.with_name(f"{path.name}.{etag.strip(chr(34))}.part")
        for left in reversed(range(RETRIES)):
            try:
                self._append(link, part, size, etag)
                break
            except httpx.TransportError:
                if not left:
                    raise
        part.replace(path)
        return path

    def _append(self, link: str, part: Path, size: int, etag: str) -> None:
        """Brings `part` to `size` bytes. Raises httpx.TransportError when it is cut off."""
        have = part.stat().st_size if part.exists() else 0
        if have == size:
            part.touch()
            return
        headers = {"Range": f"bytes={have}-", "If-Range": etag} if have else {}
        with self._http.stream("GET", link, headers=headers) as answer:
            if answer.is_error:
                answer.read()
                _check(answer)
            mode = "ab" if answer.status_code == httpx.codes.PARTIAL_CONTENT else "wb"
            with part.open(mode) as file:
                for chunk in answer.iter_raw():  # as it comes: what was cut off is kept
                    file.write(chunk)


def _checkpoint(answer: httpx.Response) -> Checkpoint:
    _check(answer)
    document = answer.json()
    return Checkpoint(document["id"], document)


def _check(answer: httpx.Response) -> None:
    """Raises Problem for an error, whoever on the way it came from."""
    if not answer.is_error:
        return
    if answer.headers.get("Content-Type", "").startswith("application/problem+json"):
        raise Problem(answer.json())
    raise Problem({"status": answer.status_code, "title": answer.reason_phrase or "error"})
