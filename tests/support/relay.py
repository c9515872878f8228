"""Transport for either client that passes requests on to a service, and breaks as a test says."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator

import httpx

CHUNK_BYTES = 1 << 16
HOP_BY_HOP = ("content-encoding", "transfer-encoding", "connection")


class Relay(httpx.MockTransport):
    """Transport to the service at `url`, which counts what it carries.

    It cuts the body of each of the first `cuts` file requests after `cut_after_bytes`. `ranges` are
    the `Range` headers of all file requests, `carried_bytes` the bytes of their bodies.
    """

    def __init__(self, url: str, *, cut_after_bytes: int = 0, cuts: int = 0) -> None:
        super().__init__(self._pass_on)
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self._cut_after_bytes = cut_after_bytes
        self._lock = threading.Lock()
        self.cuts_left = cuts
        self.ranges: list[str | None] = []
        self.requests: list[str] = []
        self.carried_bytes = 0

    def _pass_on(self, request: httpx.Request) -> httpx.Response:
        response = self._http.request(
            request.method,
            httpx.URL(request.url.raw_path.decode()),
            headers={k: v for k, v in request.headers.items() if k != "host"},
            content=request.content,
        )
        headers = {k: v for k, v in response.headers.items() if k not in HOP_BY_HOP}
        is_file = request.method == "GET" and "/files/" in request.url.path
        with self._lock:
            self.requests.append(f"{request.method} {request.url.path}")
            if is_file:
                self.ranges.append(request.headers.get("Range"))
            is_cut = is_file and self.cuts_left > 0
            self.cuts_left -= is_cut
        body = Body(self, response.content, self._cut_after_bytes if is_cut else None, is_file)
        return httpx.Response(response.status_code, headers=headers, stream=body)

    def close(self) -> None:
        self._http.close()

    async def aclose(self) -> None:
        self._http.close()

    def carry(self, count_bytes: int) -> None:
        with self._lock:
            self.carried_bytes += count_bytes


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Body in chunks, which breaks after `limit` bytes if that is not None."""

    def __init__(self, relay: Relay, content: bytes, limit: int | None, counts: bool) -> None:
        self._relay, self._content, self._limit, self._counts = relay, content, limit, counts

    def __iter__(self) -> Iterator[bytes]:
        whole = self._content if self._limit is None else self._content[: self._limit]
        for start in range(0, len(whole), CHUNK_BYTES):
            chunk = whole[start : start + CHUNK_BYTES]
            if self._counts:
                self._relay.carry(len(chunk))
            yield chunk
        if self._limit is not None and self._limit < len(self._content):
            raise httpx.ReadError("cut off")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk
