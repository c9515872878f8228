"""RFC 9457 problems: the shape of every error response, and the table of statuses."""

from __future__ import annotations

import http
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from seedpoint.models.errors import Fault, PlatformMismatch, SpecError
from seedpoint.service.concurrency.shortage import is_shortage
from seedpoint.service.errors import (
    BlobMissing,
    BodyTimeout,
    BodyTooLarge,
    BuildMemory,
    BuildTimeout,
    Busy,
    ClientGone,
    CorruptStore,
    DigestMismatch,
    HeadTooLarge,
    InvalidBlob,
    InvalidBody,
    InvalidParameter,
    MalformedBody,
    MalformedRequest,
    NotAcceptable,
    NotFound,
    NotOffered,
    OutOfResources,
    PreconditionFailed,
    Refusal,
    RepositoryNotFound,
    RevisionNotFound,
    ShuttingDown,
    StoreFull,
    StoreUnreadable,
    StoreUnwritable,
    TooManyElements,
    Unauthorized,
    Unsatisfiable,
    UnsupportedMediaType,
    WholeLost,
    WorkerLost,
)
from seedpoint.service.http import request_ids
from seedpoint.service.http.forwarded import inner_path

PROBLEM_JSON = "application/problem+json"
TYPE_PREFIX = "urn:problem-type:seedpoint:"
_HUB_API = "/api/"  # Hub clients distinguish 404s by `X-Error-Code`.
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class Kind:
    """Problem type and status that clients see for a class of exceptions."""

    status: int
    slug: str
    title: str
    headers: Mapping[str, str] = field(default_factory=dict)


RETRY = {"Retry-After": "1"}
KINDS: dict[type[Exception], Kind] = {
    SpecError: Kind(422, "invalid-spec", "The spec cannot be issued"),
    PlatformMismatch: Kind(409, "platform-mismatch", "This host cannot reproduce the checkpoint"),
    BlobMissing: Kind(409, "blob-missing", "A blob of the checkpoint is missing"),
    MalformedBody: Kind(400, "malformed-body", "The body is not a JSON document"),
    MalformedRequest: Kind(400, "malformed-request", "The request is malformed"),
    HeadTooLarge: Kind(431, "head-too-large", "The request's head is too large"),
    Unauthorized: Kind(
        401, "unauthorized", "The service has no accounts", {"WWW-Authenticate": "Bearer"}
    ),
    NotOffered: Kind(501, "not-offered", "Not offered by this service"),
    BodyTooLarge: Kind(413, "body-too-large", "The body is too large"),
    BodyTimeout: Kind(
        408, "body-timeout", "The body did not arrive in time", {"Connection": "close"}
    ),
    DigestMismatch: Kind(400, "digest-mismatch", "The body has another digest"),
    InvalidBlob: Kind(422, "invalid-blob", "The blob is not a safetensors file"),
    UnsupportedMediaType: Kind(
        415, "unsupported-media-type", "The body's media type is not supported"
    ),
    NotAcceptable: Kind(406, "not-acceptable", "No acceptable representation"),
    NotFound: Kind(404, "not-found", "Not found"),
    RepositoryNotFound: Kind(404, "repository-not-found", "No such repository"),
    RevisionNotFound: Kind(404, "revision-not-found", "No such revision"),
    PreconditionFailed: Kind(412, "precondition-failed", "The precondition does not hold"),
    Unsatisfiable: Kind(416, "range-not-satisfiable", "No requested range can be served"),
    TooManyElements: Kind(422, "too-many-elements", "Too many elements for JSON"),
    InvalidBody: Kind(422, "invalid-body", "The body has faults"),
    InvalidParameter: Kind(422, "invalid-parameter", "A parameter is invalid"),
    RequestValidationError: Kind(422, "invalid-parameter", "A parameter is invalid"),
    BuildTimeout: Kind(422, "build-timeout", "The spec takes too long to plan"),
    BuildMemory: Kind(422, "build-memory", "The spec takes too much memory to plan"),
    WorkerLost: Kind(503, "worker-lost", "The worker died while it planned the spec", RETRY),
    WholeLost: Kind(503, "whole-lost", "A tensor could not be computed as a whole", RETRY),
    Busy: Kind(503, "busy", "The service is busy", RETRY),
    ShuttingDown: Kind(503, "shutting-down", "The service is shutting down", RETRY),
    StoreFull: Kind(507, "store-full", "The store is full"),
    StoreUnwritable: Kind(503, "store-unwritable", "The store cannot be written", RETRY),
    StoreUnreadable: Kind(503, "store-unreadable", "The store cannot be read", RETRY),
    CorruptStore: Kind(500, "corrupt-store", "A file of the store is damaged"),
    OutOfResources: Kind(503, "out-of-resources", "The service is short of resources", RETRY),
    ClientGone: Kind(499, "client-gone", "The client has left"),
    Exception: Kind(500, "internal-error", "Internal error"),
}


def kind_of(error: Exception) -> Kind:
    """Return `OutOfResources`'s kind for a shortage, else that of the nearest class in KINDS."""
    if is_shortage(error):
        return KINDS[OutOfResources]
    return next(KINDS[cls] for cls in type(error).__mro__ if cls in KINDS)


def problem(
    kind: Kind,
    detail: str,
    faults: Iterable[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem response (RFC 9457)."""
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + kind.slug,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "errors": [{"path": fault.path, "message": fault.message} for fault in faults],
    }
    if (id_ := request_ids.current.get()) is not None:
        body["request_id"] = id_
    # A fault may quote a lone surrogate of the document, which only a \u escape can carry.
    content = json.dumps(body).encode()
    merged = {**kind.headers, "Cache-Control": "no-store", **(headers or {})}
    return Response(content, kind.status, merged, PROBLEM_JSON)


def install(app: FastAPI) -> None:
    """Register handlers that answer the exceptions of `app` with problems."""
    for cls in KINDS.keys() - {Exception}:  # `access_log.Observed` answers all others.
        app.add_exception_handler(cls, _on_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def is_expected(error: Exception) -> bool:
    """Return whether `error` has a kind of its own, not that of an internal error."""
    return kind_of(error) is not KINDS[Exception]


def answer(error: Exception) -> Response:
    """Return the problem response for `error`; it hides the details of an unexpected one."""
    if not is_expected(error):
        return problem(
            kind_of(error), "the service failed and logged the error; the request may be valid"
        )
    headers = error.headers if isinstance(error, Refusal) else None
    return problem(kind_of(error), _detail(error), _faults(error), headers)


async def _on_error(_: Request, error: Exception) -> Response:
    return answer(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = http.HTTPStatus(error.status_code).phrase
    kind = Kind(error.status_code, phrase.lower().replace(" ", "-"), phrase)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed(request))
        return problem(kind, f"{request.method} is not allowed on {request.url.path}", (), headers)
    if error.status_code == 404:
        if inner_path(request.scope).startswith(_HUB_API):
            headers |= {"X-Error-Code": "EntryNotFound", "X-Error-Message": "unknown route"}
        return problem(KINDS[NotFound], f"no route {request.url.path}", (), headers)
    return problem(kind, error.detail, (), headers)


def _allowed(request: Request) -> list[str]:
    """Return the methods that a route accepts at the request's path."""
    scope = dict(request.scope)
    routes = request.app.router.routes

    def answers(method: str) -> bool:
        asked = scope | {"method": method}
        return any(route.matches(asked)[0] is Match.FULL for route in routes)

    return [method for method in _METHODS if answers(method)]


def _detail(error: Exception) -> str:
    faults = _faults(error)
    if isinstance(error, SpecError | RequestValidationError) and faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        return f"{faults[0]}{more}"
    if isinstance(error, OSError):  # Its text contains a local path.
        return f"{error.strerror}; retry later"
    return str(error)


def _faults(error: Exception) -> tuple[Fault, ...]:
    if isinstance(error, SpecError):
        return error.faults
    if isinstance(error, InvalidParameter):
        return (Fault(error.path, str(error)),)
    if isinstance(error, BuildTimeout | BuildMemory):
        return (Fault("architecture", f"make it smaller or simpler to plan: {error}"),)
    if isinstance(error, RequestValidationError):
        return tuple(_fault(item) for item in error.errors())
    return ()


def _fault(item: Mapping[str, Any]) -> Fault:
    message = str(item["msg"])
    return Fault(".".join(map(str, item["loc"])), message[:1].lower() + message[1:])
