"""Schema of a spec: an architecture, an init, dtypes and file options."""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from seedpoint.models import architectures
from seedpoint.models.architectures import Architecture, check_depth
from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.errors import SpecError
from seedpoint.models.files import shards
from seedpoint.models.plan.canonical_json import representable
from seedpoint.models.rules.rule import Match, Rule
from seedpoint.models.spec.constants import ConstantError, constant_values
from seedpoint.models.spec.wordings import rewritten
from seedpoint.models.validation import expressions
from seedpoint.models.validation.faults import faults_from
from seedpoint.models.validation.numbers import Number, Schema, tagged

MAX_SEED = 2**64 - 1
# Names that expressions define for every tensor.
RESERVED = frozenset({"fan_in", "fan_out", "numel", "ndim"})
DEFAULT_MAX_SHARD_SIZE = 50_000_000_000  # bytes

Generator = Literal["philox-v1", "torch", "numpy"]
FloatName = Literal["float32", "bfloat16", "float16", "float64", "float8_e4m3fn", "float8_e5m2"]
DTypeName = Literal["declared", FloatName]


def _seed(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
        raise ValueError(f"must be an integer from 0 to 2^64 - 1 ({MAX_SEED})")
    return value


def _size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("must be a number of bytes or a size such as '5GB'")
    size = shards.parse_size(value)
    if size >= 2**53:
        raise ValueError("must be below 2^53 bytes")
    return size


def _constants(constants: dict[str, int | float | str]) -> dict[str, int | float | str]:
    for name in constants:
        if problem := _no_name(name):
            raise PydanticCustomError(
                "constant_name", "{problem}", {"problem": problem, "at": [name]}
            )
    try:
        constant_values(constants)
    except ConstantError as error:
        raise PydanticCustomError(
            "constant_value", "{problem}", {"problem": str(error), "at": [error.name]}
        ) from None
    return {
        name: float(value) if not isinstance(value, str) and abs(value) >= 2**53 else value
        for name, value in constants.items()
    }


def _no_name(name: str) -> str | None:
    """Return the reason why an expression could not read `name` as this constant, or None."""
    if not name.isidentifier() or name in RESERVED:
        return f"{name!r} cannot name a constant; use another identifier"
    if name in expressions.FUNCTIONS:
        return f"{name!r} is a function of expressions; use another identifier"
    if keyword.iskeyword(name):
        return f"{name!r} is a keyword of expressions; use another identifier"
    if (read := unicodedata.normalize("NFKC", name)) != name:
        return f"expressions read {name!r} as {read!r} (NFKC); use that, or another identifier"
    return None


Seed = Annotated[
    int,
    PlainValidator(_seed),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_SEED},
                {"type": "string", "pattern": "^[0-9]{1,20}$"},
            ]
        }
    ),
]
Size = Annotated[
    int,
    PlainValidator(_size),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}],
            "examples": ["5GB"],
        }
    ),
]


class Init(Schema):
    """Initialization of the architecture."""

    seed: Seed = Field(
        default=0, description="From 0 to 2^64 - 1, as a number or a decimal string."
    )
    generator: Generator = Field(
        default="philox-v1",
        description="`philox-v1` gives the same bits everywhere; `torch` and `numpy` give the bits "
        "of a script on this platform.",
    )
    rules: tuple[Rule, ...] = Field(
        default=(), description="Tried in order for each tensor; the first that matches wins."
    )
    constants: Annotated[dict[str, Number], AfterValidator(_constants)] = Field(
        default={},
        description="Named numbers for expressions, or expressions over each other.",
        examples=[{"n_layer": 12, "depth": "2 * n_layer"}],
    )
    unmatched: Literal["own", "error"] = Field(
        default="own",
        description="Treatment of tensors that no rule matches: their module's own init, "
        "or an error.",
    )


class DTypeRule(Schema):
    """Dtype for the floating tensors that match, buffers included.

    A tied tensor matches if one of its names does.
    """

    match: Match = Field(description="Criteria, as those of the rules of `init`.")
    dtype: FloatName = Field(description="Dtype that the values are converted to.")
    optional: bool = Field(
        default=False, strict=True, description="Allow the rule to match no tensor."
    )


class DTypePolicy(Schema):
    """Default dtype and exceptions; the first rule that matches wins."""

    default: DTypeName = Field(
        default="declared", description="Dtype of the tensors that no rule matches."
    )
    rules: tuple[DTypeRule, ...] = Field(
        default=(), description="Tried in order for each tensor; the first that matches wins."
    )


DTypeSpec = Annotated[
    Annotated[DTypeName, Tag("<name>")] | Annotated[DTypePolicy, Tag("<policy>")],
    tagged("<name>", "<policy>", (dict, DTypePolicy)),
]


Label = Annotated[StrictStr, Field(max_length=1000)] | StrictInt | StrictFloat | StrictBool | None
OUTSIDE = frozenset({"name", "description", "labels", "schema_url"})
"""Fields of a spec that its canonical form leaves out."""


class Spec(Schema):
    """Checkpoint to issue: an architecture and its initialization."""

    architecture: Architecture = Field(description="Model to initialize.")
    init: Init = Field(
        default=Init(), description="Seed, generator and rules of the initialization."
    )
    dtype: DTypeSpec = Field(
        default="declared",
        description="Dtype of floating tensors: one name, or a default and rules. `declared` is "
        "the dtype that a list of tensors or a Custom layer gives, else float32. Values are drawn "
        "in float32 and converted once.",
    )
    ties: Literal["once", "each"] = Field(
        default="once",
        description="Tied tensors are stored once (load with safetensors' load_model) or as a "
        "copy under each name (load_state_dict(strict=True)).",
    )
    max_shard_size: Size = Field(
        default=DEFAULT_MAX_SHARD_SIZE,
        description="Most bytes of tensors in one file, as a number or '5GB'; more are split "
        "into shards.",
    )

    name: Annotated[StrictStr, Field(max_length=200)] | None = Field(
        default=None, description="Name for people, outside the id; the first issue's is kept."
    )
    description: Annotated[StrictStr, Field(max_length=10_000)] | None = Field(
        default=None, description="Text for people, outside the id; the first issue's is kept."
    )
    labels: Annotated[dict[StrictStr, Label], Field(max_length=100)] = Field(
        default={},
        description="Texts, numbers, booleans or nulls by name, outside the id; the first issue's "
        "are kept.",
        examples=[{"team": "vision", "attempt": 3}],
    )
    schema_url: Any = Field(
        default=None, alias="$schema", description="Ignored: editors read it, to complete a spec."
    )

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def about(self) -> dict[str, Any]:
        """Name, description and labels, those that are given."""
        given = {"name": self.name, "description": self.description, "labels": self.labels}
        return {key: value for key, value in given.items() if value}

    @property
    def dtype_policy(self) -> DTypePolicy:
        """Dtype as a policy, also if the spec gives one name."""
        return (
            self.dtype if isinstance(self.dtype, DTypePolicy) else DTypePolicy(default=self.dtype)
        )

    @property
    def model_dtype(self) -> DType | None:
        """Default dtype of the spec, None if it gives none."""
        default = self.dtype_policy.default
        return None if default == "declared" else BY_NAME[default]


@cache
def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a spec; do not modify it."""
    return Spec.model_json_schema()


def parse_spec(document: Any, *, architecture: Architecture | None = None) -> Spec:
    """Return the spec of a JSON document.

    `architecture` is the document's own, if it has been parsed before.

    Raises:
        SpecError: With the path of every fault.
    """
    check_depth(document)
    document = rewritten(document)
    given = document if architecture is None else document | {"architecture": architecture}
    try:
        spec = Spec.model_validate(given)
    except ValidationError as error:
        raise SpecError(faults_from(error, document, schema=json_schema())) from None
    if spec.init.generator == "numpy" and spec.init.seed >= 2**32:
        raise SpecError.at("init.seed", "generator numpy takes seeds below 2^32")
    taken = RESERVED | set(spec.init.constants)
    for index, rule in enumerate(spec.init.rules):
        if shadowed := taken & rule.match.captured:
            raise SpecError.at(
                f"init.rules.{index}.match.name",
                f"captures {sorted(shadowed)}, which has a meaning already; use another name",
            )
    return spec


def normalized(spec: Spec, *, architecture: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the spec's canonical document: defaults left out, the seed as a decimal string.

    `architecture` is the spec's normalized architecture, if it is known.
    """
    document: dict[str, Any] = spec.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude={"architecture", *OUTSIDE}
    )
    init = document.get("init", {})
    if "seed" in init:
        init["seed"] = str(init["seed"])
    for rule in init.get("rules", ()):
        for holder in (rule, *rule.get("splits", {}).get("parts", ())):
            given = holder.get("initializer")
            if isinstance(given, list) and len(given) == 1:
                holder["initializer"] = given[0]
            if not holder.get("fan", True):
                del holder["fan"]
    if architecture is None:
        architecture = representable(architectures.normalized(spec.architecture))
    document.pop("dtype", None)
    if (dtype := _normalized_dtype(spec, architecture)) != "declared":
        document["dtype"] = dtype
    return {**representable(document), "architecture": architecture}


def _normalized_dtype(spec: Spec, architecture: Any) -> Any:
    """Return the canonical dtype: one name if there are no rules.

    `float32` becomes `declared` if the architecture declares no dtype.
    """
    policy = spec.dtype_policy
    default: str = policy.default
    if default == "float32" and not _declares_dtypes(architecture):
        default = "declared"
    if not policy.rules:
        return default
    return policy.model_dump(mode="json", exclude_defaults=True) | {"default": default}


def _declares_dtypes(architecture: Any) -> bool:
    """Return whether a normalized architecture names a dtype, as lists and Custom layers may."""
    if isinstance(architecture, dict):
        declares = "dtype" in architecture or "torch_dtype" in architecture
        return declares or any(map(_declares_dtypes, architecture.values()))
    return isinstance(architecture, list) and any(map(_declares_dtypes, architecture))
