"""OpenAPI descriptions of answers; `service.api.openapi` adds the schemas named here."""

from __future__ import annotations

import inspect
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, Field

from seedpoint.service.http.negotiation import JSON, MIXED, OCTETS
from seedpoint.service.http.problems import PROBLEM_JSON

Responses = dict[int | str, dict[str, Any]]

REF = "#/components/schemas/"


class Fault(BaseModel):
    """One fault, and its path in the spec or the query."""

    path: str = Field(examples=["architecture.layers.2.out_features"])
    message: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:problem-type:seedpoint:invalid-spec"])
    title: str
    status: int
    detail: str
    errors: list[Fault]
    request_id: str = Field(description="Value of `X-Request-Id`, also in the service's log.")


class Links(BaseModel):
    """Links to the statistics, the report and the files of a checkpoint."""

    self: str
    statistics: str
    report: str
    files: dict[str, str]


class Totals(BaseModel):
    """Totals of a checkpoint."""

    tensors: int
    parameters: int
    buffers: int
    bytes: int
    by_dtype: dict[str, int]


class Moments(BaseModel):
    """Expected mean and standard deviation of a program's values; null without a closed form."""

    mean: float | None
    std: float | None


class Tensor(BaseModel):
    """One tensor of a checkpoint."""

    name: str
    shape: list[int]
    dtype: str = Field(examples=["F32"])
    bytes: int
    kind: str = Field(examples=["parameter", "buffer"])
    module: str
    aliases: list[str]
    rule: int | None
    program: dict[str, Any]
    fan_in: float | None
    fan_out: float | None
    expected: Moments
    reproducibility: str = Field(examples=["everywhere", "platform"])


class WarningDetails(BaseModel):
    """Code of the warning at the same index, its place in the spec, and the docs' page of it."""

    code: str = Field(examples=["SP101"])
    path: str = Field(examples=["init.rules.1"])
    docs: str = Field(examples=["docs/warnings.md#sp101"])


class Checkpoint(BaseModel):
    """An issued checkpoint."""

    id: str = Field(pattern="^[0-9a-f]{64}$")
    seed: int
    generator: str
    reproducibility: str
    platform: dict[str, Any] | None = None
    links: Links
    totals: Totals
    tensors: list[Tensor]
    modules: dict[str, Any]
    warnings: list[str] = Field(examples=[["SP101: init.rules.1 has no effect: ..."]])
    warning_details: list[WarningDetails]
    name: str | None = None
    description: str | None = None
    labels: dict[str, Any] | None = None
    statistics: Statistics | None = None


class Digested(BaseModel):
    """Length and digest of a file."""

    bytes: int
    sha256: str | None = Field(description="Hexadecimal; null if it was not computed.")


class Statistics(BaseModel):
    """Observed statistics beside the expected ones.

    Each criterion of a tensor is the deviation as a share of what a correct tensor may show. It
    fails above 1, and fails as null: a deviation that no correct tensor shows. A split tensor
    has the same criteria for each of its `parts`. `version` changes when the verdicts of older
    documents are out of date.

    A tensor's `sha256` covers its bytes alone: little-endian elements, row-major. Digests are
    null for large checkpoints; request the digest of a file instead (`?digest=sha-256`).
    """

    version: int
    tensors: dict[str, dict[str, Any]]
    layers: dict[str, dict[str, Any]]
    totals: dict[str, Any]
    files: dict[str, Digested]


class Progress(BaseModel):
    """Progress of a computation.

    State `waiting`: other computations go first. State `not-begun`: the computation is large or
    the queue is full; a request to its link begins it.
    """

    state: Literal["running", "waiting", "not-begun", "done"]
    percent: float
    bytes_done: int
    bytes_total: int
    bytes_per_second: int
    elapsed_seconds: float
    remaining_seconds: float | None


class Running(BaseModel):
    """Answer while the content is being computed."""

    progress: Progress


class Begun(Checkpoint):
    """An issued checkpoint without statistics, and the progress of these."""

    progress: Progress


class Issued(BaseModel):
    """An entry in the list of checkpoints."""

    id: str
    created: str = Field(json_schema_extra={"format": "date-time"})
    name: str | None = None
    description: str | None = None
    labels: dict[str, Any] | None = None
    links: dict[str, str]


class Page(BaseModel):
    """Issued checkpoints, newest first."""

    checkpoints: list[Issued]
    next: str | None
    links: dict[str, str]


class Numbers(BaseModel):
    """A slice of a tensor as JSON: nested lists of its shape.

    Non-finite numbers are the strings "NaN", "Infinity" and "-Infinity"; complex numbers are
    [real, imaginary].
    """

    name: str
    dtype: str
    shape: list[int]
    values: Any


MODELS: tuple[type[BaseModel], ...] = tuple(
    value
    for value in list(vars().values())
    if inspect.isclass(value) and issubclass(value, BaseModel) and value is not BaseModel
)
"""Every model above: the schemas that the OpenAPI document adds."""

_BINARY = {OCTETS: {"schema": {"type": "string", "format": "binary"}}}
_FILE = {**_BINARY, JSON: {"schema": {}}}
_PARTS = {
    MIXED: {
        "schema": {
            "type": "string",
            "format": "binary",
            "description": "Parts: the resource without statistics, each file, and the statistics; "
            "Content-Location and Content-Disposition name them. Each part has a Content-Length; "
            "blanks after the last part pad the body to its own Content-Length.",
        }
    }
}
_BYTERANGES = {"multipart/byteranges": {"schema": {"type": "string", "format": "binary"}}}
_ANY_JSON = {JSON: {"schema": {"type": "object"}}}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {JSON: {"schema": {"$ref": REF + model.__name__}}}


def _answer(description: str, content: dict[str, Any], **headers: str) -> dict[str, Any]:
    described = {
        name.replace("_", "-"): {"description": text, "schema": {"type": "string"}}
        for name, text in headers.items()
    }
    return {"description": description, "content": content, "headers": described}


def _problems(*statuses: int) -> Responses:
    content = {PROBLEM_JSON: {"schema": {"$ref": REF + Problem.__name__}}}
    listed: Responses = {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in (*statuses, 500)
    }
    return {**listed, "default": {"description": "A problem", "content": content}}


_LOCATION = "The checkpoint's resource."
_APPLIED = "Preferences that were applied: respond-async, wait=N, return=minimal (RFC 7240)."
_DIGEST = "sha-256 (RFC 9530), if it was requested or the checkpoint is small."
_SAVED = "File name for a download (RFC 6266)."
_RANGED: Responses = {
    200: _answer(
        "The bytes, computed as they are sent.",
        _FILE,
        ETag="Strong entity tag, which identifies every byte.",
        Content_Disposition=_SAVED,
        Repr_Digest=_DIGEST,
        Preference_Applied=_APPLIED,
    ),
    202: _answer(
        "The requested digest is being computed.",
        _json(Running),
        Preference_Applied=_APPLIED,
        Retry_After="Seconds.",
    ),
    206: _answer(
        "The requested range, or several ranges as parts.",
        {**_BINARY, JSON: {}, **_BYTERANGES},  # A part of a JSON file is not JSON.
        Content_Range="Position of the bytes; in each part if there are several ranges.",
        ETag="Entity tag of the whole file.",
        Repr_Digest="Digest of the whole file.",
    ),
    304: {"description": "The client already has these bytes."},
}

POST_CHECKPOINT: Responses = {
    200: _answer(
        "The checkpoint was issued before; or its file, if the client accepts a file.",
        {**_json(Checkpoint), **_BINARY, **_PARTS},
        Location=_LOCATION,
        Preference_Applied=_APPLIED,
        Repr_Digest=_DIGEST,
    ),
    201: _answer(
        "Issued.",
        {**_json(Checkpoint), **_PARTS},
        Location=_LOCATION,
        Preference_Applied=_APPLIED,
    ),
    202: _answer(
        "Issued; statistics follow at their link.",
        _json(Begun),
        Location=_LOCATION,
        Preference_Applied=_APPLIED,
        Retry_After="Seconds.",
    ),
    **_problems(400, 406, 409, 413, 415, 422, 503, 507),
}
CHECKPOINT: Responses = {
    200: _answer("The checkpoint.", _json(Checkpoint)),
    **_problems(404, 409, 503),
}
PAGE: Responses = {200: _answer("A page.", _json(Page)), **_problems(422)}
FILE: Responses = {**_RANGED, **_problems(404, 409, 412, 416, 422)}
TENSOR: Responses = {
    **_RANGED,
    200: {**_RANGED[200], "content": {**_BINARY, **_json(Numbers)}},
    **_problems(404, 406, 409, 412, 416, 422),
}
STATISTICS: Responses = {
    200: _answer("The statistics.", _json(Statistics), Preference_Applied=_APPLIED),
    202: _answer(
        "The statistics are being computed.",
        _json(Running),
        Preference_Applied=_APPLIED,
        Retry_After="Seconds.",
    ),
    **_problems(404, 409, 503),
}
_HTML = {"text/html": {"schema": {"type": "string"}}}
REPORT: Responses = {
    200: _answer("The page.", _HTML, Content_Security_Policy="No scripts, no loaded resources."),
    202: _answer(
        "A page that reloads itself until the statistics are computed.",
        _HTML,
        Retry_After="Seconds.",
    ),
    **_problems(404, 409, 503),
}
PRESET_PAGE: Responses = {
    200: _answer("The page.", _HTML, Content_Security_Policy="No scripts, no loaded resources."),
    **_problems(404, 409, 422, 503),
}
LANDING: Responses = {200: _answer("The page.", _HTML), **_problems()}
_COMMIT = "Commit: 40 hexadecimal digits, which change with any byte."
_CODE = "RepoNotFound, RevisionNotFound or EntryNotFound."


def _hub(*statuses: int) -> Responses:
    problems = _problems(404, 409, 422, 503, *statuses)
    code = {"X-Error-Code": {"description": _CODE, "schema": {"type": "string"}}}
    return {**problems, 404: {**problems[404], "headers": code}}


HUB_JSON: Responses = {
    200: _answer("The answer of the Hub's protocol.", {JSON: {}}, X_Repo_Commit=_COMMIT),
    **_hub(),
}
HUB_POST: Responses = {**HUB_JSON, **_hub(400, 413)}
HUB_LINKS: Responses = {200: _answer("Links.", _HTML, X_Repo_Commit=_COMMIT), **_hub()}
HUB_FILE: Responses = {
    **_RANGED,
    200: _answer(
        "The bytes, computed as they are sent; at the root, links to the files.",
        {**_BINARY, **_HTML, JSON: {}},
        ETag="Strong entity tag, which identifies every byte.",
        X_Repo_Commit=_COMMIT,
        Repr_Digest=_DIGEST,
    ),
    **_hub(412, 416),
}
CATALOGUE: Responses = {200: _answer("The catalogue.", _ANY_JSON), **_problems()}
PRESET: Responses = {200: _answer("The preset.", _ANY_JSON), **_problems(404)}
HEALTH: Responses = {200: _answer("The process answers.", _ANY_JSON), **_problems()}
READINESS: Responses = {
    200: _answer("Ready.", _ANY_JSON),
    503: _answer("The reasons why the service is not ready.", _ANY_JSON, Retry_After="Seconds."),
}
METRICS: Responses = {200: _answer("Metrics in Prometheus's text format.", {"text/plain": {}})}
VERSION: Responses = {200: _answer("The versions.", _ANY_JSON)}

_HEADERS = {
    "Prefer": "`respond-async`, `wait=N` seconds, `return=minimal` (RFC 7240).",
    "Want-Repr-Digest": "`sha-256=N` asks for a `Repr-Digest`, omitted if it takes too long.",
    "Range": "Ranges of bytes; up to 64 after overlapping ones are coalesced.",
    "If-Range": "Entity tag that the range is for; with another, the answer is the whole file.",
    "If-Match": "Entity tags; one must be the current one.",
    "If-None-Match": "Entity tags that the client has.",
}


def _headers(*names: str) -> dict[str, Any]:
    return {
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": False,
                "description": _HEADERS[name],
                "schema": {"type": "string"},
            }
            for name in names
        ]
    }


PREFER = _headers("Prefer")
BYTES = _headers(*_HEADERS)
# A worker parses the raw body, so FastAPI gets only its schema.
SPEC_BODY: dict[str, Any] = _headers("Prefer", "Want-Repr-Digest") | {
    "requestBody": {"required": True, "content": {JSON: {"schema": {"$ref": REF + "Spec"}}}}
}
