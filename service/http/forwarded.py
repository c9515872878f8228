"""Restoration of a request's scheme, client and path behind a proxy."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from seedpoint.service.settings import MAX_PREFIX_CHARACTERS, PREFIX

_FIELD = b"x-forwarded-prefix"
_PREFIX = re.compile(PREFIX)


class Forwarded:
    """Pure ASGI middleware that reverts the changes of proxies to requests.

    A proxy strips a prefix from the path: `root_path`, or `X-Forwarded-Prefix` of a trusted proxy.
    The app sees the complete path, with the prefix as its root, as ASGI requires. uvicorn's
    middleware restores the scheme and the client.
    """

    def __init__(self, app: ASGIApp, *, trusted: str, root_path: str) -> None:
        self._app = ProxyHeadersMiddleware(app, trusted)  # type: ignore[arg-type]
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        prefix = self._prefix(scope) if scope["type"] == "http" else ""
        if prefix:
            scope["root_path"] = prefix
            scope["path"] = prefix + scope["path"]
            scope["raw_path"] = prefix.encode() + scope["raw_path"]
        await self._app(scope, receive, send)  # type: ignore[arg-type]

    def _prefix(self, scope: Scope) -> str:
        """Return the prefix of the setting, else of a trusted proxy if it is safe in a link."""
        if self._root_path:
            return self._root_path
        fields = [value for name, value in scope["headers"] if name == _FIELD]
        if len(fields) != 1 or not self._is_trusted(scope):
            return ""
        text = fields[0].decode("latin-1").strip()
        harmless = len(text) <= MAX_PREFIX_CHARACTERS and _PREFIX.fullmatch(text)
        return text.rstrip("/") if harmless else ""

    def _is_trusted(self, scope: Scope) -> bool:
        client = scope.get("client")
        return (client[0] if client else None) in self._app.trusted_hosts


def inner_path(scope: Scope) -> str:
    """Return the path without the prefix, by which routes are matched."""
    path: str = scope["path"]
    return path[len(scope.get("root_path", "")) :]
