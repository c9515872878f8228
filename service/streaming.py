"""A response whose body is made while it is sent, and no longer than there is a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Body = AsyncGenerator[memoryview, None]


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
        self.init_headers({**(headers or {}), "content-length": str(content_length)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn ignores what is sent after a disconnect: only `receive` tells of it.
        async with aclosing(self.body_iterator) as body:
            sending = asyncio.create_task(self._send(body, send))
            leaving = asyncio.create_task(disconnected(receive))
            try:
                await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                leaving.cancel()
                if not sending.done():
                    sending.cancel()
                await asyncio.wait((sending,))
            if not sending.cancelled():
                sending.result()

    async def _send(self, body: Body, send: Send) -> None:
        chunk = await anext(body, None)
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        sent = 0
        while chunk is not None:
            sent += len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            del chunk  # The transport holds it now; its buffer is free once that is done.
            chunk = await anext(body, None)
        if sent != self.content_length:
            raise RuntimeError(f"body of {sent} bytes, not {self.content_length}")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def disconnected(receive: Receive) -> None:
    """Returns when the client has gone (or the response is complete)."""
    while (await receive())["type"] != "http.disconnect":
        pass
