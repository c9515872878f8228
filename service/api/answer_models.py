"""Models of answers' JSON documents, for the OpenAPI document."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field


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
    """Links to the plan, the statistics, the report, the DCP directory and the files."""

    self: str
    plan: str
    statistics: str
    report: str
    dcp: str
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


class DcpDirectory(BaseModel):
    """A checkpoint as a directory of torch.distributed.checkpoint.

    `files` counts the chunks and `.metadata`; `bytes` is the size of the chunks' files.
    """

    links: dict[str, str]
    grid: Annotated[list[int], Field(min_length=2, max_length=2)] | None
    files: int
    bytes: int


MODELS: tuple[type[BaseModel], ...] = tuple(
    value
    for value in list(vars().values())
    if inspect.isclass(value) and issubclass(value, BaseModel) and value is not BaseModel
)
"""Every model above: the schemas that the OpenAPI document adds."""
