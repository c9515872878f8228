"""Dependencies of routes: the service, the checkpoint, the body, the client's connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, Path, Query, Request

from seedpoint.service.checkpoints.checkpoint import Checkpoint
from seedpoint.service.errors import BodyTimeout, BodyTooLarge, ClientGone
from seedpoint.service.http.streaming_response import disconnected
from seedpoint.service.state import State

R = TypeVar("R")


async def _state(request: Request) -> State:
    state: State = request.app.state.seedpoint
    return state


Service = Annotated[State, Depends(_state)]


async def _checkpoint(
    service: Service, id: Annotated[str, Path(description="A checkpoint id, 64 hex digits.")]
) -> Checkpoint:
    return await service.checkpoints.get(id)


Found = Annotated[Checkpoint, Depends(_checkpoint)]

DigestQuery = Annotated[
    Literal["sha-256"] | None,
    Query(
        description="Asks for a `Repr-Digest`; 202 with progress when it takes longer than "
        "`Prefer: wait`, or a few seconds. HEAD gives it without the bytes."
    ),
]


def accepted(request: Request) -> str:
    """Return the `Accept` header, with all its lines joined."""
    return ", ".join(request.headers.getlist("accept"))


BODY_SECONDS = 60.0  # Longest pause between two pieces of a body.


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Return the whole body.

    Raises: BodyTooLarge as soon as Content-Length or the bytes received exceed `limit_bytes`;
    BodyTimeout after `BODY_SECONDS` without data; ClientGone.
    """
    message = f"the body is longer than {limit_bytes} bytes"
    if (declared_bytes(request) or 0) > limit_bytes:
        raise BodyTooLarge(message)
    body = bytearray()
    async for piece in body_pieces(request):
        body += piece
        if len(body) > limit_bytes:
            raise BodyTooLarge(message)
    return bytes(body)


def declared_bytes(request: Request) -> int | None:
    """Return the length of the body by its `Content-Length`; None without one."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdigit() and len(declared) < 20 else None


async def body_pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield the body in the pieces that arrive.

    Raises: BodyTimeout after `BODY_SECONDS` without data; ClientGone.
    """
    while True:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                received = await request.receive()
        except TimeoutError:
            raise BodyTimeout(
                f"no part of the body arrived for {BODY_SECONDS:.0f} seconds"
            ) from None
        if received["type"] == "http.disconnect":
            raise ClientGone
        yield received.get("body", b"")
        if not received.get("more_body", False):
            return


async def while_connected(request: Request, work: Coroutine[Any, Any, R]) -> R:
    """Return the result of `work`, and cancel it when the client disconnects.

    The request's body must have been read before. Raises: ClientGone.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(disconnected(request.receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait((working,))
