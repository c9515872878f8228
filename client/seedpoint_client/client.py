"""HTTP client that issues checkpoints and resumes interrupted downloads."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx

RETRIES = 5  # Attempts of one download.
PIECE_BYTES = 1 << 20  # Bytes of a file that are sent at a time.
WAIT_SECONDS = 20  # Longest wait of one request for a result; then the client asks again.


class Problem(Exception):
    """Error answer of the service (RFC 9457): `status`, `title`, `detail`, `errors`.

    Each of the `errors` has the `path` of a fault in the spec and a `message`.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.status: int = document["status"]
        self.title: str = document["title"]
        self.detail: str = document.get("detail", "")
        self.errors: list[dict[str, str]] = list(document.get("errors", ()))
        faults = "".join(f"\n  {error['path']}: {error['message']}" for error in self.errors)
        super().__init__(f"{self.status} {self.title}: {self.detail}{faults}")


class DigestMismatch(Exception):
    """A downloaded file differs from the service's file, and was removed."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An issued checkpoint: its id and the whole resource as the service describes it."""

    id: str
    resource: Mapping[str, Any]

    @property
    def files(self) -> Mapping[str, str]:
        """Path of each file on the service, by name."""
        links: Mapping[str, str] = self.resource["links"]["files"]
        return links


class Client:
    """Connection to the service at `url`; a context manager. Not thread-safe.

    Requests that the service is too busy for (503) are repeated for up to `patience_seconds`.
    `transport` replaces the one that httpx would make, for example with one that retries.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 60.0,
        patience_seconds: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout_seconds, transport=transport)
        self._patience_seconds = patience_seconds

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

    def wait_until_ready(self, *, timeout_seconds: float = 120.0) -> None:
        """Wait until the service can issue checkpoints. Raises TimeoutError."""
        until = time.monotonic() + timeout_seconds
        while not self._is_ready():
            if time.monotonic() > until:
                raise TimeoutError(
                    f"{self._http.base_url} is not ready after {timeout_seconds:g} s"
                )
            time.sleep(0.2)

    def put_blob(self, path: str | Path) -> str:
        """Put a safetensors file, for `values` by `file`; return its SHA-256 (hex).

        A file that the service has is not sent. Raises: Problem, OSError, httpx.TransportError.
        """
        with Path(path).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            if not self.has_blob(sha256):
                self._put(f"/v1/blobs/{sha256}", file, sha256)
        return sha256

    def has_blob(self, sha256: str) -> bool:
        """Return whether the service has a blob. Raises Problem."""
        answer = self._ask("HEAD", f"/v1/blobs/{quote(sha256)}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        _check(answer)
        return True

    def issue(self, spec: Mapping[str, Any], *, statistics: bool = False) -> Checkpoint:
        """Issue the checkpoint of a spec. Raises Problem if it cannot be issued.

        The same spec gives the same checkpoint, so this may be repeated at will.
        """
        prefer = {} if statistics else {"Prefer": "return=minimal"}
        return _checkpoint(self._ask("POST", "/v1/checkpoints", json=spec, headers=prefer))

    def get(self, id: str) -> Checkpoint:
        """Return an issued checkpoint. Raises Problem (404) for an unknown id."""
        return _checkpoint(self._ask("GET", f"/v1/checkpoints/{quote(id)}"))

    def statistics(
        self, checkpoint: Checkpoint, *, timeout_seconds: float = 600.0
    ) -> Mapping[str, Any]:
        """Return a checkpoint's statistics once they are computed. Raises Problem, TimeoutError."""
        link = checkpoint.resource["links"]["statistics"]
        found: Mapping[str, Any] = self._finished("GET", link, timeout_seconds).json()
        return found

    def sha256(self, checkpoint: Checkpoint, file: str, *, timeout_seconds: float = 600.0) -> str:
        """Return a file's SHA-256 (hex), computed by the service. Raises Problem, TimeoutError."""
        link = f"{checkpoint.files[file]}?digest=sha-256"
        field = self._finished("HEAD", link, timeout_seconds).headers["Repr-Digest"]
        (digest,) = re.findall(r"sha-256=:([^:]+):", field)
        return base64.b64decode(digest).hex()

    def download(
        self,
        checkpoint: Checkpoint,
        directory: str | Path,
        *,
        files: Collection[str] | None = None,
        verify: bool = False,
    ) -> list[Path]:
        """Download all files of a checkpoint, or `files`, into `directory`, each whole or absent.

        An interrupted download is kept as `NAME.ETAG.part` and resumed, by this call or by a
        later one: the bytes are the same at any time. `verify` compares each file's SHA-256 with
        the one that the service computes. Raises: Problem, DigestMismatch, httpx.TransportError.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        found = []
        for name in checkpoint.files if files is None else files:
            path = self._download(checkpoint.files[name], directory / name)
            if verify:
                _check_digest(path, self.sha256(checkpoint, name))
            found.append(path)
        return found

    def tensor(self, checkpoint: Checkpoint, name: str, slice: str = "") -> bytes:
        """Return a tensor, or a slice like `0:128,:`, as the bytes of a small safetensors file."""
        path = f"/v1/checkpoints/{checkpoint.id}/tensors/{quote(name, safe='')}"
        answer = self._ask("GET", path, params={"slice": slice} if slice else {})
        _check(answer)
        return answer.content

    def _is_ready(self) -> bool:
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Return the answer; a 503 is retried for as long as the client's patience."""
        return self._patiently(partial(self._http.request, method, self._address(path), **request))

    def _put(self, path: str, file: BinaryIO, sha256: str) -> None:
        """Send a file; a 503 is retried for as long as the client's patience. Raises Problem."""
        digest = base64.b64encode(bytes.fromhex(sha256)).decode()
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(file.seek(0, os.SEEK_END)),
            "Content-Digest": f"sha-256=:{digest}:",
        }
        patient = httpx.Timeout(self._http.timeout, read=None)  # The service writes it to disk.

        def request() -> httpx.Response:
            pieces = iter(partial(file.read, PIECE_BYTES), b"")
            file.seek(0)
            address = self._address(path)
            return self._http.put(address, content=pieces, headers=headers, timeout=patient)

        _check(self._patiently(request))

    def _patiently(self, request: Callable[[], httpx.Response]) -> httpx.Response:
        """Return the answer; a 503 is retried for as long as the client's patience."""
        until = time.monotonic() + self._patience_seconds
        while True:
            answer = request()
            pause = _pause_seconds(answer)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer
            if time.monotonic() + pause > until:
                return answer
            time.sleep(pause)

    def _address(self, path: str) -> httpx.URL | str:
        """Return the address of `path`; links of a service under a prefix have it already."""
        prefix = self._http.base_url.path.rstrip("/")
        has_prefix = prefix and path.startswith(f"{prefix}/v1/")
        return self._http.base_url.join(path) if has_prefix else path

    def _finished(self, method: str, link: str, timeout_seconds: float) -> httpx.Response:
        """Return the answer once it is no longer 202. Raises Problem, TimeoutError."""
        until = time.monotonic() + timeout_seconds
        while True:
            wait = max(0, min(WAIT_SECONDS, int(until - time.monotonic())))
            answer = self._ask(method, link, headers={"Prefer": f"wait={wait}"})
            _check(answer)
            if answer.status_code != httpx.codes.ACCEPTED:
                return answer
            if time.monotonic() + (pause := _pause_seconds(answer)) > until:
                raise TimeoutError(f"{link} is still being computed after {timeout_seconds:g} s")
            time.sleep(pause)

    def _download(self, link: str, path: Path) -> Path:
        head = self._ask("HEAD", link)
        _check(head)
        size, etag = int(head.headers["Content-Length"]), head.headers["ETag"]
        # Its name has the entity tag, so that no file is resumed with another's bytes.
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
        """Extend `part` to `size` bytes. Raises httpx.TransportError if the connection breaks."""
        have = part.stat().st_size if part.exists() else 0
        if have == size:
            part.touch()
            return
        headers = {"Range": f"bytes={have}-", "If-Range": etag} if have else {}
        with self._http.stream("GET", self._address(link), headers=headers) as answer:
            if answer.is_error:
                answer.read()
                _check(answer)
            mode = "ab" if answer.status_code == httpx.codes.PARTIAL_CONTENT else "wb"
            with part.open(mode) as file:
                for chunk in answer.iter_raw():  # An interrupted download keeps its bytes.
                    file.write(chunk)


def _checkpoint(answer: httpx.Response) -> Checkpoint:
    _check(answer)
    document = answer.json()
    return Checkpoint(document["id"], document)


def _pause_seconds(answer: httpx.Response) -> float:
    said = answer.headers.get("Retry-After", "")
    return float(said) if said.isdecimal() else 1.0


def _check_digest(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        path.unlink()
        raise DigestMismatch(f"{path}: SHA-256 {found}, not {expected}")


def _check(answer: httpx.Response) -> None:
    """Raise Problem for an error, from the service or from a proxy."""
    if not answer.is_error:
        return
    if answer.headers.get("Content-Type", "").startswith("application/problem+json"):
        raise Problem(answer.json())
    raise Problem({"status": answer.status_code, "title": answer.reason_phrase or "error"})
