"""Shortcut past FastAPI for the most frequent request: GET of a checkpoint's file.

FastAPI's routing, dependencies and exception handling cost more than generating 64 KiB.
The route in `api/files` remains: it documents the resource and answers requests that fail here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from seedpoint.service.api import representations
from seedpoint.service.api.representations import Representation
from seedpoint.service.errors import Refusal
from seedpoint.service.http.forwarded import inner_path
from seedpoint.service.state import State

_FILE = re.compile(r"/v1/checkpoints/([0-9a-f]{64})/files/([^/]+)")


@dataclass(frozen=True, slots=True)
class _Route:
    path: str


_ROUTE = _Route("/v1/checkpoints/{id}/files/{file}")


class Shortcut:
    """Pure ASGI middleware that answers GETs of existing files; `app` gets all other requests."""

    def __init__(self, app: ASGIApp, *, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        plain = scope["type"] == "http" and scope["method"] == "GET" and not scope["query_string"]
        found = _FILE.fullmatch(inner_path(scope)) if plain else None
        if found is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            checkpoint = await self._state.checkpoints.get(found[1])
            item = Representation.of(checkpoint.file(found[2]))
            response = await representations.respond(request, self._state, item)
        except Refusal:  # Nothing has been sent; `app` answers with a problem.
            await self._app(scope, receive, send)
            return
        scope["route"] = _ROUTE  # The route under which `observe` counts the request.
        await response(scope, receive, send)
