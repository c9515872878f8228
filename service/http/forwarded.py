"""Restoration of a request's scheme, client and path behind a proxy."""

from __future__ import annotations

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from seedpoint.service.settings import MAX_PREFIX_CHARACTERS, PREFIX

_FIELD = b"x-forwarded-prefix"
_SCHEME = b"x-forwarded-proto"
_VARY = "X-Forwarded-Prefix, X-Forwarded-Proto"
_WITH_LINKS = frozenset({"application/json", "text/html", "multipart/mixed"})
_PREFIX = re.compile(PREFIX)


class Forwarded:
    """Pure ASGI middleware that reverts the changes of proxies to requests.

    A proxy strips a prefix from the path: `root_path`, or `X-Forwarded-Prefix` of a trusted proxy.
    The app sees the complete path, with the prefix as its root, as ASGI requires. uvicorn's
    middleware restores the scheme and the client. An answer with links varies with the fields.
    """

    def __init__(self, app: ASGIApp, *, trusted: str, root_path: str) -> None:
        self._app = ProxyHeadersMiddleware(app, trusted)  # type: ignore[arg-type]
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if self._is_told(scope):
                send = _varying(send)
            if prefix := self._root_path or self._told_prefix(scope):
                scope["root_path"] = prefix
                scope["path"] = prefix + scope["path"]
                scope["raw_path"] = prefix.encode() + scope["raw_path"]
        await self._app(scope, receive, send)  # type: ignore[arg-type]

    def _told_prefix(self, scope: Scope) -> str:
        """Return the prefix of a trusted proxy if it is safe in a link."""
        fields = [value for name, value in scope["headers"] if name == _FIELD]
        if len(fields) != 1 or not self._is_trusted(scope):
            return ""
        text = fields[0].decode("latin-1").strip()
        harmless = len(text) <= MAX_PREFIX_CHARACTERS and _PREFIX.fullmatch(text)
        return text.rstrip("/") if harmless else ""

    def _is_told(self, scope: Scope) -> bool:
        """Return whether links depend on a field of a trusted proxy."""
        fields = {_SCHEME} if self._root_path else {_SCHEME, _FIELD}
        return any(name in fields for name, _ in scope["headers"]) and self._is_trusted(scope)

    def _is_trusted(self, scope: Scope) -> bool:
        client = scope.get("client")
        return (client[0] if client else None) in self._app.trusted_hosts


def _varying(send: Send) -> Send:
    """Return `send` with the fields that links depend on in `Vary` of answers that have links."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            media_type = headers.get("content-type", "").partition(";")[0]
            if media_type in _WITH_LINKS or "location" in headers:
                headers.add_vary_header(_VARY)
        await send(message)

    return sending


def inner_path(scope: Scope) -> str:
    """Return the path without the prefix, by which routes are matched."""
    path: str = scope["path"]
    return path[len(scope.get("root_path", "")) :]
