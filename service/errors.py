"""Exceptions for refused requests and for failures that callers see."""

from __future__ import annotations

from collections.abc import Mapping

from seedpoint.models.errors import SpecError


class Refusal(Exception):
    """Request that cannot be answered as asked, with a message for the caller.

    `headers` are added to those of the problem's kind in the response.
    """

    def __init__(self, detail: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.headers = dict(headers or {})


class MalformedBody(Refusal):
    """The body is not a JSON document."""


class MalformedRequest(Refusal):
    """The bytes received are not an HTTP request, or not one that has a meaning."""


class HeadTooLarge(Refusal):
    """The request line and header fields exceed the limit of a connection."""


class BodyTooLarge(Refusal):
    """The body exceeds `max_body_bytes`, or that of a blob `blob_bytes`."""


class DigestMismatch(Refusal):
    """The body has another digest than the path or a field of the request says."""


class InvalidBlob(Refusal):
    """The body of a blob is not a safetensors file."""


class BlobMissing(Refusal):
    """A blob that the checkpoint is read from has gone; PUT it again."""


class BodyTimeout(Refusal):
    """The client has stopped sending the body."""


class UnsupportedMediaType(Refusal):
    """The service does not read bodies of this media type."""


class Unauthorized(Refusal):
    """The request asks for the user of a token, but there are no accounts."""


class NotOffered(Refusal):
    """The service does not offer this part of a protocol, for example git."""


class NotAcceptable(Refusal):
    """The client accepts none of the available representations."""


class NotFound(Refusal):
    """The checkpoint, file or tensor does not exist."""


class RepositoryNotFound(NotFound):
    """The Hub repository names no preset or issued checkpoint."""


class RevisionNotFound(NotFound):
    """The repository does not have this branch or commit."""


class PreconditionFailed(Refusal):
    """The request is meant for another representation (`If-Match`, `If-None-Match`)."""


class Unsatisfiable(Refusal):
    """No requested range begins inside the representation."""


class TooManyElements(Refusal):
    """The tensor or slice has more elements than the limit of a JSON response."""


class InvalidBody(SpecError):
    """The document in the body, which is not a spec, has faults."""


class InvalidParameter(Refusal):
    """A query parameter is invalid; `path` names it, for example `query.slice`."""

    def __init__(self, detail: str, *, path: str = "query") -> None:
        super().__init__(detail)
        self.path = path


class BuildTimeout(Refusal):
    """The spec took longer to plan than `build_timeout_seconds`."""


class BuildMemory(Refusal):
    """The spec took more memory to plan than `build_memory_bytes`."""


class WorkerLost(Refusal):
    """The worker process died while it planned this spec."""


class WholeLost(Refusal):
    """A whole tensor could not be computed: its worker died, or the host is out of memory."""


class Busy(Refusal):
    """The queue for workers is full, or no more large responses fit in memory."""


class ShuttingDown(Refusal):
    """The service is shutting down."""


class StoreFull(Refusal):
    """The store's disk or quota is full."""


class StoreUnwritable(Refusal):
    """The store cannot be written, although it is not full."""


class StoreUnreadable(Refusal):
    """A file of the store cannot be read now, although its content may be intact."""


class CorruptStore(Refusal):
    """A file of the store is damaged and cannot be generated again on this host."""


class OutOfResources(Refusal):
    """The process or the system is out of file descriptors or memory."""


class ClientGone(Refusal):
    """The client disconnected before its response was ready; only the log shows the status."""
