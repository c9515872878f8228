"""Response whose body is generated while it is sent, until the client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Body = AsyncGenerator[memoryview, None]

# Without it, nginx buffers the body for a slow client on disk.
UNBUFFERED = {"X-Accel-Buffering": "no"}
SMALL_BYTES = 256 << 10  # Bodies up to this size are mostly sent within PATIENCE_SECONDS.
PATIENCE_SECONDS = 0.05  # Delay before a small response starts to watch for a disconnect.


class GeneratedResponse(Response):
    """Response that sends the chunks of `body`, `content_length` bytes in all.

    The first chunk is generated before the headers are sent, so a failure there becomes a
    problem response. A later failure breaks the connection: the body is neither padded nor
    ended early as if complete. When the client disconnects, `body` is closed at its current
    chunk.
    """

    def __init__(
        self,
        body: Body,
        content_length: int,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.body_iterator = body
        self.content_length = content_length
        self.status_code = status
        self.background = None
        self.body = b""
        self.init_headers({**(headers or {}), **UNBUFFERED, "content-length": str(content_length)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn ignores sends after a disconnect, so only `receive` reports one. A small body
        # is mostly sent before a task that waits for a disconnect would pay off.
        patience = PATIENCE_SECONDS if self.content_length <= SMALL_BYTES else 0.0
        async with aclosing(self.body_iterator) as body, _Watch(receive, patience):
            await self._send(body, send)

    async def _send(self, body: Body, send: Send) -> None:
        chunk = await anext(body, None)
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        if chunk is not None and len(chunk) == self.content_length:
            await send({"type": "http.response.body", "body": chunk, "more_body": False})
            return
        sent = 0
        while chunk is not None:
            sent += len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            del chunk  # Only the transport holds it now, and frees the buffer once it is sent.
            chunk = await anext(body, None)
        if sent != self.content_length:
            raise RuntimeError(f"body of {sent} bytes, not {self.content_length}")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Watch:
    """Context that cancels its block on a disconnect; it watches after `patience` seconds."""

    def __init__(self, receive: Receive, patience: float) -> None:
        self._receive = receive
        self._patience = patience
        self._left = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._leaving: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(self._patience, self._look_out)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> bool:
        self._timer.cancel()
        if self._leaving is not None:
            self._leaving.remove_done_callback(self._leave)
            self._leaving.cancel()
        # A cancellation from elsewhere must propagate: it concerns more than this response.
        return self._left and self._task.uncancel() == 0 and kind is asyncio.CancelledError

    def _look_out(self) -> None:
        self._leaving = asyncio.create_task(disconnected(self._receive))
        self._leaving.add_done_callback(self._leave)

    def _leave(self, _: asyncio.Task[None]) -> None:
        self._left = True
        self._task.cancel()


async def disconnected(receive: Receive) -> None:
    """Wait until the client has disconnected (or the response is complete)."""
    while (await receive())["type"] != "http.disconnect":
        pass
