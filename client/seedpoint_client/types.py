"""Types of the JSON documents that a service takes and gives: specs, resources, statistics.

They are for type checkers and editors. A service may give more fields than these; docs/spec.md
and the service's OpenAPI document describe all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, Union

Number = int | float | str
"""Number, or an arithmetic expression over `fan_in`, `numel`, captures and constants."""

# --- spec ----------------------------------------------------------------------

Kind = Literal["parameter", "buffer", "any"]


class Dimensions(TypedDict, total=False):
    """Range of a number of dimensions."""

    min: int
    max: int


Match = TypedDict(
    "Match",
    {
        "name": str | Sequence[str],
        "module": str | Sequence[str],
        "parameter": str,
        "ndim": int | Sequence[int] | Dimensions,
        "kind": Kind | Sequence[Kind],
        "not": Union["Match", Sequence["Match"]],
    },
    total=False,
)
"""Criteria for tensors, all of which must hold."""


class Rule(TypedDict, total=False):
    """Initializer of the tensors that match; `{"type": ..., ...}` or a list of these."""

    match: Match | str
    initializer: Mapping[str, Any] | Sequence[Mapping[str, Any]] | str
    transforms: Sequence[Mapping[str, Any]]
    fan: Mapping[str, Any]
    splits: Mapping[str, Any]
    optional: bool


class Init(TypedDict, total=False):
    """Initialization of an architecture."""

    seed: int | str
    generator: Literal["philox-v1", "torch", "numpy"]
    rules: Sequence[Rule]
    constants: Mapping[str, Number]
    unmatched: Literal["own", "error"]


class DTypeRule(TypedDict):
    """Dtype of the floating tensors that match."""

    match: Match
    dtype: str


class DTypePolicy(TypedDict, total=False):
    """Default dtype, and exceptions."""

    default: str
    rules: Sequence[DTypeRule]


class _Spec(TypedDict):
    architecture: Mapping[str, Any]


class Spec(_Spec, total=False):
    """Checkpoint to issue; `architecture` has a `type` and the fields of that type."""

    init: Init
    dtype: str | DTypePolicy
    ties: Literal["once", "each"]
    max_shard_size: int | str
    name: str | None
    description: str | None
    labels: Mapping[str, str | int | float | bool | None]


# --- resource ------------------------------------------------------------------


class Links(TypedDict):
    """Links to the plan, the statistics, the report and the files of a checkpoint."""

    self: str
    plan: str
    statistics: str
    report: str
    files: dict[str, str]


class Totals(TypedDict):
    """Totals of a checkpoint; `bytes` are those of its tensors."""

    tensors: int
    parameters: int
    buffers: int
    bytes: int
    by_dtype: dict[str, int]


class Moments(TypedDict):
    """Expected mean and standard deviation; None without a closed form."""

    mean: float | None
    std: float | None


class Tensor(TypedDict):
    """One tensor of a checkpoint; `dtype` is the code of safetensors, such as `F32`."""

    name: str
    shape: list[int]
    dtype: str
    bytes: int
    kind: str
    module: str
    aliases: list[str]
    rule: int | None
    program: dict[str, Any]
    fan_in: float | None
    fan_out: float | None
    expected: Moments
    reproducibility: str


class WarningDetails(TypedDict):
    """Code of the warning at the same index, its place in the spec, and its documentation."""

    code: str
    path: str
    docs: str


class Digested(TypedDict):
    """Length of a file, and its SHA-256 (hex) if it was computed."""

    bytes: int
    sha256: str | None


class Statistics(TypedDict):
    """Observed statistics beside the expected ones, by tensor, by layer and in total."""

    version: int
    tensors: dict[str, dict[str, Any]]
    layers: dict[str, dict[str, Any]]
    totals: dict[str, Any]
    files: dict[str, Digested]


class Progress(TypedDict):
    """Progress of a computation of the service."""

    state: Literal["running", "waiting", "not-begun", "done"]
    percent: float
    bytes_done: int
    bytes_total: int
    bytes_per_second: int
    elapsed_seconds: float
    remaining_seconds: float | None


class _Resource(TypedDict):
    id: str
    seed: int
    generator: str
    reproducibility: str
    links: Links
    totals: Totals
    tensors: list[Tensor]
    modules: dict[str, Any]
    warnings: list[str]
    warning_details: list[WarningDetails]


class Resource(_Resource, total=False):
    """An issued checkpoint, as the service describes it."""

    platform: dict[str, Any] | None
    name: str | None
    description: str | None
    labels: dict[str, Any] | None
    statistics: Statistics | None
    progress: Progress


class Issued(TypedDict):
    """An entry in the list of checkpoints; `created` is a date of RFC 3339."""

    id: str
    created: str
    links: dict[str, str]


class Page(TypedDict):
    """A page of the list; `next` is the cursor of the following one, None on the last."""

    checkpoints: list[Issued]
    next: str | None
    links: dict[str, str]
