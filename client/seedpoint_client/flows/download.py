"""Download of files: in one range or several at once, resumed, checked."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import httpx

from seedpoint_client.errors import DigestMismatch, check
from seedpoint_client.flows.effects import Do, Flow, Pause, Receive, Request, Together, perform
from seedpoint_client.flows.part_file import PartFile, Span
from seedpoint_client.flows.progress import Meter, Report
from seedpoint_client.flows.retry import BROKEN, Attempts, Retry

Paths = list[Path]

IDENTITY = {"Accept-Encoding": "identity"}  # Ranges are those of the file itself.
HASHED_BYTES = 1 << 20  # Read at a time to compute a SHA-256.


@dataclass(frozen=True, slots=True)
class Options:
    """Choices of a download, which `Client.download` documents."""

    directory: Path
    files: Collection[str] | None = None
    verify: bool = False
    ranges: int = 1
    report: Report | None = None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """File on the service: its link, size and entity tag, and its SHA-256 (hex) if it is known."""

    name: str
    link: str
    size_bytes: int
    etag: str
    sha256: str | None

    @classmethod
    def of(cls, name: str, link: str, head: httpx.Response) -> RemoteFile:
        """Return the file that `head` describes. Raises ValueError for a path as a name."""
        if Path(name).name != name:
            raise ValueError(f"{name!r} is not the name of a file")
        headers = head.headers
        size_bytes, digest = int(headers["Content-Length"]), headers.get("Repr-Digest")
        known = None if digest is None else sha256_of(digest)
        return cls(name, link, size_bytes, headers["ETag"], known)

    def part(self, directory: Path) -> Path:
        """Return the path of the unfinished file.

        Its name has the entity tag, so that no file is gone on with by another's bytes.
        """
        return directory / f"{self.name}.{self.etag.strip(chr(34))}.part"


def get(retry: Retry, file: RemoteFile, part: PartFile, meter: Meter) -> Flow[None]:
    """Fetch the spans that `part` misses, all at once.

    Raises: Problem; DigestMismatch if the file changes meanwhile; httpx.TransportError.
    """
    spans = [_get_span(retry, file, part, span, meter) for span in part.spans]
    try:
        if len(spans) == 1:
            yield from spans[0]
        elif spans:
            yield from perform(Together(spans, len(spans)))
    finally:
        part.note()


def _get_span(
    retry: Retry, file: RemoteFile, part: PartFile, span: Span, meter: Meter
) -> Flow[None]:
    attempts = Attempts(retry)
    with part.path.open("r+b") as target:
        sink = SpanSink(file, part, span, meter, target)
        while span.size_bytes:
            before = span.start
            try:
                answer = yield from perform(Receive(sink.request(), sink))
                sink.check_end(answer)
            except BROKEN:
                if span.start > before:
                    attempts.progressed()
                pause = attempts.after_error()
                if pause is None:
                    raise
            else:
                pause = attempts.after_answer(answer)
                if pause is None:
                    check(answer)
                    return
            yield from perform(Pause(pause))


class SpanSink:
    """Writer of one span of a file, over as many answers as it takes."""

    def __init__(
        self, file: RemoteFile, part: PartFile, span: Span, meter: Meter, target: BinaryIO
    ) -> None:
        self._file, self._part, self._span = file, part, span
        self._meter, self._target = meter, target
        self._skipped = 0

    def request(self) -> Request:
        """Return the request for what is missing; without a Range for a whole file."""
        start, stop = self._span.start, self._span.stop
        last = "" if stop == self._file.size_bytes else str(stop - 1)
        if not start and not last:
            return Request("GET", self._file.link, IDENTITY)
        ranged = {"Range": f"bytes={start}-{last}", "If-Range": self._file.etag}
        return Request("GET", self._file.link, IDENTITY | ranged)

    def begin(self, answer: httpx.Response) -> bool:
        """Return whether the answer has bytes of the file. Raises DigestMismatch for another's."""
        if answer.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            return False
        found = answer.headers.get("ETag", self._file.etag)
        if found != self._file.etag:
            self._part.path.unlink(missing_ok=True)
            raise DigestMismatch(
                f"{self._file.name} has changed on the service while it was downloaded: its "
                f"entity tag is {found}, not {self._file.etag}"
            )
        self._skipped = self._span.start - _first_byte(answer)
        if self._skipped < 0:
            raise httpx.RemoteProtocolError(f"the answer lacks byte {self._span.start}")
        self._target.seek(self._span.start)
        return True

    def write(self, data: bytes) -> bool:
        """Write the next bytes of a body; a proxy without ranges sends some that are there."""
        skipped = min(self._skipped, len(data))
        self._skipped -= skipped
        wanted = memoryview(data)[skipped : skipped + self._span.size_bytes]
        if wanted:
            self._target.write(wanted)
            self._target.flush()
            self._span.start += len(wanted)
            self._part.wrote(len(wanted))
            self._meter.add(len(wanted))
        return self._span.size_bytes > 0

    def check_end(self, answer: httpx.Response) -> None:
        """Raise httpx.RemoteProtocolError if a body ended before the span did."""
        if answer.is_success and self._span.size_bytes:
            raise httpx.RemoteProtocolError(
                f"the answer ends at byte {self._span.start} of {self._file.name}; "
                f"{self._span.stop} are expected"
            )


def _first_byte(answer: httpx.Response) -> int:
    """Return the place in the file of a body's first byte."""
    if answer.status_code == httpx.codes.OK:
        return 0
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if found is None:
        raise httpx.RemoteProtocolError("a partial answer without its Content-Range")
    return int(found[1])


def save(retry: Retry, file: RemoteFile, options: Options, meter: Meter) -> Flow[Path]:
    """Download `file`, whole or not at all, and return its path.

    Raises: Problem; DigestMismatch if the file changes meanwhile; httpx.TransportError.
    """
    opening = partial(PartFile, file.part(options.directory), file.size_bytes, options.ranges)
    part = yield from perform(Do(opening))
    meter.begin(file.name, file.size_bytes, file.size_bytes - part.missing_bytes)
    yield from get(retry, file, part, meter)
    path = options.directory / file.name
    yield from perform(Do(partial(part.finish, path)))
    return path


def check_digest(path: Path, expected: str) -> None:
    """Remove the file at `path` and raise DigestMismatch unless its SHA-256 is `expected` (hex)."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(HASHED_BYTES):
            digest.update(data)
    if digest.hexdigest() != expected:
        path.unlink()
        raise DigestMismatch(f"{path}: SHA-256 {digest.hexdigest()}, not {expected}")


def sha256_of(field: str) -> str:
    """Return the SHA-256 (hex) of a `Repr-Digest` field (RFC 9530)."""
    (digest,) = re.findall(r"sha-256=:([^:]+):", field)
    return base64.b64decode(digest).hex()
