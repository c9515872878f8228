"""Flows of the service's routes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from seedpoint_client.checkpoint import Checkpoint
from seedpoint_client.errors import DigestMismatch, check
from seedpoint_client.flows import download
from seedpoint_client.flows.effects import Do, Flow, Pause, Request, Send, perform
from seedpoint_client.flows.progress import Meter
from seedpoint_client.flows.retry import BROKEN, Retry, retry_after_seconds
from seedpoint_client.slices import Index, slice_text
from seedpoint_client.types import Page, Spec, Statistics

CHECKPOINTS = "/v1/checkpoints"
LONGEST_WAIT_SECONDS = 20.0  # Of one request for a result; then the client asks again.
READY_PAUSE_SECONDS = 0.2

Subject = Checkpoint | str
"""A checkpoint, or its id."""


@dataclass(frozen=True, slots=True)
class Routes:
    """Flows of the routes, with a policy of retries.

    No request waits longer for a result than `longest_wait_seconds`, which is less than the
    client waits for an answer.
    """

    retry: Retry
    longest_wait_seconds: float

    @classmethod
    def of(cls, retry: Retry, timeout: httpx.Timeout) -> Routes:
        read_seconds = LONGEST_WAIT_SECONDS * 2 if timeout.read is None else timeout.read
        return cls(retry, min(LONGEST_WAIT_SECONDS, read_seconds / 2))

    def wait_until_ready(self, url: object, timeout_seconds: float) -> Flow[None]:
        until = time.monotonic() + timeout_seconds
        while not (yield from self._is_ready()):
            if time.monotonic() > until:
                raise TimeoutError(f"{url} is not ready after {timeout_seconds:g} s")
            yield from perform(Pause(READY_PAUSE_SECONDS))

    def issue(self, spec: Spec | Mapping[str, Any], *, statistics: bool) -> Flow[Checkpoint]:
        prefer = {} if statistics else {"Prefer": "return=minimal"}
        answer = yield from self._ask(Request("POST", CHECKPOINTS, prefer, json=spec))
        return _checkpoint(answer)

    def get(self, id: str) -> Flow[Checkpoint]:
        return _checkpoint((yield from self._ask(Request("GET", _path(id)))))

    def page(self, limit: int | None, cursor: str | None) -> Flow[Page]:
        """Return the page of the list after `cursor`, the first one without."""
        wanted = {"limit": limit, "cursor": cursor}
        params = {name: str(value) for name, value in wanted.items() if value is not None}
        answer = yield from self._ask(Request("GET", CHECKPOINTS, params=params))
        page: Page = answer.json()
        return page

    def plan(self, subject: Subject) -> Flow[bytes]:
        answer = yield from self._ask(Request("GET", _link(subject, "plan")))
        found = hashlib.sha256(answer.content).hexdigest()
        if found != (expected := _id(subject)):
            raise DigestMismatch(f"the plan's SHA-256 is {found}, not the id {expected}")
        return answer.content

    def buffers(self, subject: Subject) -> Flow[bytes]:
        """Return the buffers that no state dict holds, as the bytes of a safetensors file."""
        return (yield from self._ask(Request("GET", _path(_id(subject), "buffers")))).content

    def statistics(self, subject: Subject, timeout_seconds: float) -> Flow[Statistics]:
        request = partial(Request, "GET", _link(subject, "statistics"))
        statistics: Statistics = (yield from self._finished(request, timeout_seconds)).json()
        return statistics

    def tensor(self, subject: Subject, name: str, slice: Index) -> Flow[bytes]:
        path = _path(_id(subject), "tensors", name)
        params = {"slice": text} if (text := slice_text(slice)) else {}
        return (yield from self._ask(Request("GET", path, params=params))).content

    def sha256(self, subject: Subject, file: str, timeout_seconds: float) -> Flow[str]:
        checkpoint = yield from self.resolve(subject)
        return (yield from self._sha256(_file_link(checkpoint, file), timeout_seconds))

    def download(self, subject: Subject, options: download.Options) -> Flow[list[Path]]:
        checkpoint = yield from self.resolve(subject)
        names = checkpoint.files if options.files is None else options.files
        files = []
        for name in names:
            link = _file_link(checkpoint, name)
            head = yield from self._ask(Request("HEAD", link, download.IDENTITY))
            files.append(download.RemoteFile.of(name, link, head))
        meter = Meter(options.report, sum(file.size_bytes for file in files))
        making = partial(options.directory.mkdir, parents=True, exist_ok=True)
        yield from perform(Do(making))
        paths = []
        for file in files:
            path = yield from download.save(self.retry, file, options, meter)
            if options.verify:
                expected = file.sha256 or (yield from self._sha256(file.link))
                yield from perform(Do(partial(download.check_digest, path, expected)))
            paths.append(path)
        return paths

    def resolve(self, subject: Subject) -> Flow[Checkpoint]:
        """Return the checkpoint itself, or the one that has this id."""
        return (yield from self.get(subject)) if isinstance(subject, str) else subject

    def _is_ready(self) -> Flow[bool]:
        try:
            answer = yield from perform(Send(Request("GET", "/readyz")))
        except BROKEN:
            return False
        return answer.is_success

    def _ask(self, request: Request) -> Flow[httpx.Response]:
        """Return the answer. Raises Problem unless it is a success."""
        answer = yield from self.retry.exchange(request)
        check(answer)
        return answer

    def _sha256(self, link: str, timeout_seconds: float = 600.0) -> Flow[str]:
        request = partial(Request, "HEAD", f"{link}?digest=sha-256")
        answer = yield from self._finished(request, timeout_seconds)
        return download.sha256_of(answer.headers["Repr-Digest"])

    def _finished(self, request: partial[Request], timeout_seconds: float) -> Flow[httpx.Response]:
        """Return the answer to `request` once it is not 202. Raises Problem, TimeoutError."""
        until = time.monotonic() + timeout_seconds
        while True:
            wait = max(0, int(min(self.longest_wait_seconds, until - time.monotonic())))
            asked = request(headers={"Prefer": f"wait={wait}"})
            answer = yield from self._ask(asked)
            if answer.status_code != httpx.codes.ACCEPTED:
                return answer
            pause = retry_after_seconds(answer)
            pause = 1.0 if pause is None else pause
            if time.monotonic() + pause > until:
                path = asked.path.partition("?")[0]
                raise TimeoutError(f"{path} is still being computed after {timeout_seconds:g} s")
            yield from perform(Pause(pause))


def _checkpoint(answer: httpx.Response) -> Checkpoint:
    document = answer.json()
    return Checkpoint(document["id"], document)


def _id(subject: Subject) -> str:
    return subject if isinstance(subject, str) else subject.id


def _path(*segments: str) -> str:
    quoted: Iterator[str] = (quote(segment, safe="") for segment in segments)
    return "/".join((CHECKPOINTS, *quoted))


def _link(subject: Subject, name: str) -> str:
    """Return a link of a checkpoint's resource, or the path that it has without a prefix."""
    if isinstance(subject, str):
        return _path(subject, name)
    links: Mapping[str, Any] = subject.resource.get("links", {})
    return str(links.get(name) or _path(subject.id, name))


def _file_link(checkpoint: Checkpoint, file: str) -> str:
    """Raises KeyError for an unknown file."""
    try:
        return checkpoint.files[file]
    except KeyError:
        known = ", ".join(checkpoint.files)
        raise KeyError(f"no file {file!r} in checkpoint {checkpoint.id[:12]}: {known}") from None
