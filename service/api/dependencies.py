"""What routes need of a request: the service, its checkpoint, its body, its client."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, Path, Query, Request

from seedpoint.service.checkpoints.registry import Checkpoint
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
    """The `Accept` header, all its lines."""
    return ", ".join(request.headers.getlist("accept"))


BODY_SECONDS = 60.0  # Between pieces of a body.


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body.

    Raises BodyTooLarge as soon as it is longer than `limit_bytes`, whether a
    Content-Length says so or its chunks come to it, BodyTimeout and ClientGone.
    """
    message = f"the body is longer than {limit_bytes} bytes"
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and len(declared) < 20 and int(declared) > limit_bytes:
        raise BodyTooLarge(message)
    body = bytearray()
    while True:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                received = await request.receive()
        except TimeoutError:
            raise BodyTimeout(f"nothing came for {BODY_SECONDS:.0f} seconds") from None
        if received["type"] == "http.disconnect":
            raise ClientGone
        body += received.get("body", b"")
        if len(body) > limit_bytes:
            raise BodyTooLarge(message)
        if not received.get("more_body", False):
            return bytes(body)


async def while_connected(request: Request, work: Coroutine[Any, Any, R]) -> R:
    """The result of `work`, which is cancelled when the client leaves (ClientGone).

    For requests whose body has been read.
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
