"""Compression of JSON and pages, for clients that ask for it (RFC 9110, section 12.5.3)."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seedpoint.service.http.negotiation import JSON, weights
from seedpoint.service.http.problems import PROBLEM_JSON

GZIP = "gzip"
LEAST_BYTES = 1000  # A smaller body fits into one packet uncompressed.
THREAD_BYTES = 1 << 16  # A larger body is compressed in a thread, to not delay other requests.
LEVEL = 4  # Higher levels take twice the time to save a few percent of JSON.

_TYPES = frozenset({JSON, PROBLEM_JSON, "text/html", "text/plain"})
# Files have ranges, tags and digests, all of which refer to the uncompressed bytes.
_OF_BYTES = ("accept-ranges", "content-encoding", "content-range", "etag", "repr-digest")
_WBITS = 16 + zlib.MAX_WBITS  # Selects gzip's header and trailer.


class Compressed:
    """Pure ASGI middleware that compresses documents, but no bytes of a checkpoint."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = _Answer(scope, send).send
        await self._app(scope, receive, send)


def takes_gzip(accept_encoding: Sequence[str]) -> bool:
    """Return whether a client accepts gzip and prefers it no less than identity."""
    found = weights(accept_encoding)
    quality = found.get(GZIP, found.get("x-gzip", found.get("*", 0.0)))
    return quality > 0 and quality >= found.get("identity", 0.0)


class _Answer:
    """Response in transfer, whose head waits for the first piece of its body."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._head: Message | None = None  # While it waits.
        self._gzip: zlib._Compress | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_document(message):
            self._head = message
        elif message["type"] == "http.response.body":
            await self._send_body(message)
        else:
            await self._send(message)

    async def _send_body(self, message: Message) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            message = await self._begin(head, message)
            await self._send(head)
        elif self._gzip is not None:
            message = await self._coded(message)
        await self._send(message)

    async def _begin(self, head: Message, message: Message) -> Message:
        """Set the content coding in `head`; return the first piece of the body."""
        headers = MutableHeaders(raw=head["headers"])
        headers.add_vary_header("Accept-Encoding")
        is_whole = not message.get("more_body", False)
        if not self._is_worth_it(len(message.get("body", b"")), is_whole=is_whole):
            return message
        headers["Content-Encoding"] = GZIP
        self._gzip = zlib.compressobj(LEVEL, wbits=_WBITS)
        message = await self._coded(message)
        del headers["Content-Length"]
        if is_whole:
            headers["Content-Length"] = str(len(message["body"]))
        elif self._scope["method"] == "HEAD":
            headers["Transfer-Encoding"] = "chunked"  # As the server sets it for GET.
        return message

    def _is_worth_it(self, size_bytes: int, *, is_whole: bool) -> bool:
        if is_whole and size_bytes < LEAST_BYTES:
            return False
        if not is_whole and self._scope["http_version"] == "1.0":
            return False  # HTTP/1.0 has no chunks, so the body needs a length.
        return takes_gzip(Headers(scope=self._scope).getlist("accept-encoding"))

    async def _coded(self, message: Message) -> Message:
        body, more = message.get("body", b""), message.get("more_body", False)
        if more and self._scope["method"] == "HEAD":  # The body is never sent.
            return {**message, "body": b""}
        if len(body) > THREAD_BYTES:
            return {**message, "body": await asyncio.to_thread(self._code, body, more=more)}
        return {**message, "body": self._code(body, more=more)}

    def _code(self, body: bytes | memoryview, *, more: bool) -> bytes:
        assert self._gzip is not None
        coded = self._gzip.compress(body)
        return coded if more else coded + self._gzip.flush()


def _is_document(head: Message) -> bool:
    headers = Headers(raw=head["headers"])
    media_type = headers.get("content-type", "").partition(";")[0]
    return media_type in _TYPES and not any(name in headers for name in _OF_BYTES)
