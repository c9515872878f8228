"""Requests that are refused, and failures that callers are told of."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):
    """A request that cannot be answered as asked; the message is for the caller to read.

    `headers` go into the answer, besides those of its kind.
    """

    def __init__(self, detail: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.headers = dict(headers or {})


class MalformedBody(Refusal):
    """The body is not a JSON document."""


class MalformedRequest(Refusal):
    """What was sent is no HTTP request."""


class HeadTooLarge(Refusal):
    """The request's line and fields are longer than a connection reads."""


class BodyTooLarge(Refusal):
    """The body is longer than `max_body_bytes`."""


class BodyTimeout(Refusal):
    """The client has stopped sending the body."""


class UnsupportedMediaType(Refusal):
    """The body is of a type the service does not read."""


class Unauthorized(Refusal):
    """A question about the user whom a token names; there are no accounts."""


class NotOffered(Refusal):
    """A part of a protocol that is not offered here, such as git."""


class NotAcceptable(Refusal):
    """No representation on offer is one the client accepts."""


class NotFound(Refusal):
    """There is no such checkpoint, file or tensor."""


class RepositoryNotFound(NotFound):
    """There is no such preset or checkpoint, as a Hub repository."""


class RevisionNotFound(NotFound):
    """The repository has no such branch or commit."""


class PreconditionFailed(Refusal):
    """The representation is not the one that the request is meant for."""


class Unsatisfiable(Refusal):
    """None of the ranges asked begins inside the representation."""


class TooManyElements(Refusal):
    """More numbers than may be given as JSON."""


class InvalidParameter(Refusal):
    """A query parameter that cannot be read; `path` names it: `query.slice`."""

    def __init__(self, detail: str, *, path: str = "query") -> None:
        super().__init__(detail)
        self.path = path


class BuildTimeout(Refusal):
    """The spec took longer to plan than `build_timeout_seconds`."""


class BuildMemory(Refusal):
    """The spec took more memory to plan than `build_memory_bytes`."""


class WorkerLost(Refusal):
    """The worker process that planned this spec died."""


class WholeLost(Refusal):
    """A tensor that is computed whole was not: its worker died, or the host has no memory."""


class Busy(Refusal):
    """Every worker is taken and the queue is full; or no more large answers fit in memory."""


class ShuttingDown(Refusal):
    """The service is going away."""


class StoreFull(Refusal):
    """The disk, or the quota, of the store has no room left."""


class StoreUnwritable(Refusal):
    """The store cannot be written, for another reason than that it is full."""


class StoreUnreadable(Refusal):
    """A file of the store cannot be read now, for a reason that is not its content."""


class CorruptStore(Refusal):
    """A file of the store is not what was written, and cannot be made again here."""


class OutOfResources(Refusal):
    """The process or the system has no descriptor or no memory left."""


class ClientGone(Refusal):
    """The client left before its answer was ready; the status is for the log alone."""
