"""A response whose body is made while it is sent, and no longer than there is a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Body = AsyncGenerator[memoryview, None]

# nginx would write what a slow client has not read to its disk.
UNBUFFERED = {"X-Accel-Buffering": "no"}
SMALL_BYTES = 256 << 10
PATIENCE_SECONDS = 0.05


class GeneratedResponse(Response):
    """Sends the chunks of `body`, `content_length` bytes in all.

    The first chunk is made before the headers go out, so that what fails there is a
    problem. A later failure breaks the connection: the body is neither padded nor ended
    early as if whole. When the client leaves, `body` is closed at the chunk it is at.
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
        # uvicorn ignores what is sent after a disconnect: only `receive` tells of it. What is
        # small is mostly sent before it would be worth a task to wait for that.
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
            del chunk  # The transport holds it now; its buffer is free once that is done.
            chunk = await anext(body, None)
        if sent != self.content_length:
            raise RuntimeError(f"body of {sent} bytes, not {self.content_length}")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Watch:
    """Ends what runs inside it when the client leaves; looks out `patience` seconds from now."""

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
        # Whoever else has cancelled the task means more than this response.
        return self._left and self._task.uncancel() == 0 and kind is asyncio.CancelledError

    def _look_out(self) -> None:
        self._leaving = asyncio.create_task(disconnected(self._receive))
        self._leaving.add_done_callback(self._leave)

    def _leave(self, _: asyncio.Task[None]) -> None:
        self._left = True
        self._task.cancel()


async def disconnected(receive: Receive) -> None:
    """Returns when the client has gone (or the response is complete)."""
    while (await receive())["type"] != "http.disconnect":
        pass
