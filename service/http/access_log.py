"""Pure ASGI middleware that measures and logs each request."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seedpoint.service import errors
from seedpoint.service.concurrency.shortage import is_shortage, name_of
from seedpoint.service.http import problems, request_ids
from seedpoint.service.logger import get_logger
from seedpoint.service.metrics import Metrics

log = get_logger("seedpoint.access")

POLLED = frozenset({"/healthz", "/readyz", "/metrics"})  # Machines poll these, so log at debug.


@dataclass
class _Exchange:
    """Request, and the part of its response sent so far."""

    scope: Scope
    id: str
    started: float
    status: int = 0
    sent_bytes: int = 0
    whole: bool = False

    @property
    def route(self) -> str:
        """Template of the route, which has few values."""
        return str(getattr(self.scope.get("route"), "path", "")) or "(none)"

    @property
    def path(self) -> str:
        """Requested path, escaped if it is not printable."""
        path = str(self.scope["path"])
        return path if path.isprintable() else ascii(path)

    def note(self, message: Message) -> Message:
        """Record `message`; return it with the request's id in its headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            field = (request_ids.FIELD, self.id.encode())
            return {**message, "headers": [*message.get("headers", ()), field]}
        if message["type"] == "http.response.body":
            if self.scope["method"] != "HEAD":  # The server drops the body of a HEAD response.
                self.sent_bytes += len(message.get("body", b""))
            self.whole = not message.get("more_body", False)
        return message


class Observed:
    """Middleware that counts and logs requests and answers unexpected exceptions with problems.

    It logs neither headers nor query strings, which may contain credentials.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, request_ids.given_or_new(scope["headers"]), time.perf_counter())
        request_ids.current.set(exchange.id)  # The server runs each request in its own task.

        async def noting(message: Message) -> None:
            await send(exchange.note(message))

        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError:  # The time for a graceful shutdown is over.
            if not exchange.status:
                ending = errors.ShuttingDown("the service is shutting down")
                await problems.answer(ending)(scope, receive, noting)
            # Else the server breaks the connection, because the body is incomplete.
        except Exception as error:
            if is_shortage(error):
                _tell_shortage(error, exchange)
            elif exchange.status or not problems.is_expected(error):
                said = {"method": scope["method"], "path": exchange.path}
                log.error("request failed", **said, exc_info=error)
            if exchange.status:
                raise  # The server breaks the connection, because the body is incomplete.
            await problems.answer(error)(scope, receive, noting)
        finally:
            self._finish(exchange)

    def _finish(self, exchange: _Exchange) -> None:
        seconds = time.perf_counter() - exchange.started
        method = exchange.scope["method"]
        self._metrics.observe(exchange.route, method, exchange.status, seconds, exchange.sent_bytes)
        write = log.debug if exchange.route in POLLED else log.info
        write(
            "request",
            method=method,
            path=exchange.path,
            status=exchange.status,
            bytes=exchange.sent_bytes,
            milliseconds=round(seconds * 1e3, 2),
            **({} if exchange.whole else {"cut": True}),
        )


def _tell_shortage(error: Exception, exchange: _Exchange) -> None:
    """Log the resource that was short, without a traceback, which would explain nothing."""
    assert isinstance(error, OSError)
    said = {"method": exchange.scope["method"], "path": exchange.path}
    log.error("out of resources", **said, errno=name_of(error), reason=error.strerror)
