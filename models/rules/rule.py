"""Rules: criteria on tensors, and the initializer for the tensors that match."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictStr,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from seedpoint.models.initializers import InitializerSpec
from seedpoint.models.initializers.fans import FanSpec
from seedpoint.models.initializers.transforms import TransformSpec
from seedpoint.models.rules import globs
from seedpoint.models.validation.numbers import Schema, tagged

Kind = Literal["parameter", "buffer", "any"]


def _glob(pattern: str) -> str:
    globs.captures(pattern)  # without compiling it: most rules of a long list match nothing
    return pattern


def _class_names(value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError("must be a class name or a list of class names")
    return tuple(names)


Glob = Annotated[
    StrictStr,
    AfterValidator(_glob),
    Field(
        description="Glob on the dotted name: `*` stays inside a segment, `**` crosses "
        "segments, `{layer}` captures an integer.",
        examples=["transformer.h.{layer}.**.weight"],
    ),
]


def _single(value: Any) -> Any:
    """Return the item of a list of one, which means the same, and any other value unchanged."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


ONE_OR_LIST = tagged("<one>", "<list>", (list, tuple))
AT_LEAST_ONE = Field(min_length=1)

ClassNames = Annotated[
    tuple[str, ...],
    PlainValidator(_class_names),
    PlainSerializer(list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One name of a tensor, with the classes of the module that holds it under this name.

    `is_swept` is false for a buffer with an own init, which only a rule that means it matches.
    """

    name: str
    classes: frozenset[str]
    ndim: int
    kind: str
    is_swept: bool = True


class Dimensions(Schema):
    """Range of a number of dimensions."""

    min: int = Field(default=0, ge=0, strict=True, description="Least number.")
    max: int | None = Field(default=None, ge=0, strict=True, description="Greatest number.")

    def __contains__(self, ndim: int) -> bool:
        return self.min <= ndim and (self.max is None or ndim <= self.max)


def _form(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "<list>"
    return "<range>" if isinstance(value, Mapping | Dimensions) else "<one>"


Globs = Annotated[
    Annotated[Glob, Tag("<one>")] | Annotated[tuple[Glob, ...], AT_LEAST_ONE, Tag("<list>")],
    ONE_OR_LIST,
    AfterValidator(_single),
]
Ndim = Annotated[int, Field(ge=0, strict=True)]
Ndims = Annotated[
    Annotated[Ndim, Tag("<one>")]
    | Annotated[tuple[Ndim, ...], AT_LEAST_ONE, Tag("<list>")]
    | Annotated[Dimensions, Tag("<range>")],
    Discriminator(_form),
    AfterValidator(_single),
]
Kinds = Annotated[
    Annotated[Kind, Tag("<one>")] | Annotated[tuple[Kind, ...], AT_LEAST_ONE, Tag("<list>")],
    ONE_OR_LIST,
    AfterValidator(_single),
]
Excluded = Annotated[
    Annotated["Match", Tag("<one>")] | Annotated[tuple["Match", ...], AT_LEAST_ONE, Tag("<list>")],
    ONE_OR_LIST,
    AfterValidator(_single),
]


class Match(Schema):
    """Criteria that must all hold; an omitted one always holds.

    A buffer with an own init, such as `running_var`, is left to it unless the rule means the
    buffer: by `kind`, by `parameter`, or by a `name` without wildcards.

    A glob matches the whole of a name. `**.bias` also matches `bias`, `[!abc]` is one character
    other than these, and `[*]` is the character itself.
    """

    name: Globs | None = Field(
        default=None,
        description="Glob on the dotted name, or a list of which one must match: `*` stays inside "
        "a segment, `**` crosses segments and may be none (`**.bias` matches `bias`), `?` is one "
        "character, `[abc]` one of these and `[!abc]` another, `{layer}` captures an integer: a "
        "segment, or digits beside a text (`layer{n}.**`). A name of a tied tensor is enough.",
    )
    module: ClassNames | None = Field(
        default=None, description="Class of the tensor's module, or one of a list; subclasses too."
    )
    parameter: StrictStr | None = Field(
        default=None, description="Last segment of the name.", examples=["weight"]
    )
    ndim: Ndims | None = Field(
        default=None,
        description='Number of dimensions, a list of numbers, or a range: `{"min": 2}`.',
    )
    kind: Kinds | None = Field(
        default=None, description="Kind of the tensor in its module; `any` is both."
    )
    not_: Excluded | None = Field(
        default=None,
        alias="not",
        description="Criteria, or a list of them, that must not all hold; buffers count here too.",
    )

    @property
    def names(self) -> tuple[str | None, ...]:
        """Globs of which one must match; None matches every name."""
        return self.name if isinstance(self.name, tuple) else (self.name,)

    @property
    def captured(self) -> frozenset[str]:
        """Names that the globs capture."""
        return frozenset().union(*(globs.captures(name) for name in self.names if name))

    @property
    def excluded(self) -> tuple[Match, ...]:
        """Criteria of `not`."""
        return () if self.not_ is None else _listed(self.not_)

    def allows(self, candidate: Candidate) -> bool:
        """Return whether the criteria hold that do not depend on the name, `not` left out."""
        kinds = _listed(self.kind)
        return (
            (kinds == (None,) or "any" in kinds or candidate.kind in kinds)
            and (self.ndim is None or candidate.ndim in _container(self.ndim))
            and (self.module is None or not candidate.classes.isdisjoint(self.module))
        )

    def names_for(self, candidate: Candidate) -> tuple[str | None, ...]:
        """Return the globs that may match the tensor: for a buffer with an own init, only names."""
        if candidate.is_swept or self.kind is not None or self.parameter is not None:
            return self.names
        return tuple(name for name in self.names if name is not None and globs.is_plain(name))

    def excludes(self, candidate: Candidate) -> bool:
        """Return whether the criteria of `not` hold."""
        anyway = replace(candidate, is_swept=True)
        return any(match.captures(anyway) is not None for match in self.excluded)

    def captures(self, candidate: Candidate) -> Mapping[str, int] | None:
        """Return the captures of the name if every criterion holds, else None."""
        if not self.allows(candidate):
            return None
        if self.parameter not in (None, candidate.name.rpartition(".")[2]):
            return None
        if self.excludes(candidate):
            return None
        for name in self.names_for(candidate):
            found = {} if name is None else globs.match(name, candidate.name)
            if found is not None:
                return found
        return None


def _listed(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _container(ndim: int | tuple[int, ...] | Dimensions) -> Any:
    return ndim if isinstance(ndim, Dimensions) else _listed(ndim)


InitializerList = Annotated[
    Annotated[InitializerSpec, Tag("<one>")]
    | Annotated[tuple[InitializerSpec, ...], Field(min_length=1, max_length=64), Tag("<list>")],
    tagged("<one>", "<list>", (list, tuple)),
]
Transforms = Annotated[tuple[TransformSpec, ...], Field(max_length=64)]
MAX_PARTS = 100_000  # repetitions included


class SplitPart(Schema):
    """Part of a fused tensor: `size` slots along the axis, initialized as a separate tensor.

    Its `initializer`, `transforms` and `fan` apply to this part alone.
    """

    size: int = Field(ge=1, strict=True, description="Size along the axis.")
    as_: StrictStr | None = Field(
        default=None,
        alias="as",
        description="Name of the part's random stream: a part named as the unfused tensor "
        "equals it. Captures are filled in: `h.{layer}.q_proj.weight`; where parts repeat, "
        "`{repeat}` is the number of the repetition.",
    )
    initializer: InitializerList | None = Field(
        default=None,
        description="Initializer of this part in place of the rule's; `own` keeps the elements "
        "that the module's own init gives.",
        examples=[{"type": "ones"}],
    )
    transforms: Transforms = Field(
        default=(),
        description="Applied to the part, in order; the rule's follow, on the whole tensor.",
    )
    fan: FanSpec | None = Field(default=None, description="Fans of this part, not the rule's.")


class Splits(Schema):
    """Parts of a fused tensor along an axis.

    Each of several initializers goes over all parts before the next one begins. Generators `torch`
    and `numpy` draw in this order.
    """

    axis: int = Field(default=0, strict=True, description="Axis along which the parts lie.")
    parts: tuple[SplitPart, ...] = Field(
        min_length=1,
        max_length=MAX_PARTS,
        description="Parts in order; their sizes, times `repeat`, sum to the size of the axis.",
    )
    repeat: int = Field(
        default=1,
        ge=1,
        strict=True,
        description="Number of times that the list of parts follows itself along the axis: the "
        "heads of an interleaved q, k, v.",
    )

    @model_validator(mode="after")
    def _within_limit(self) -> Splits:
        if len(self.parts) * self.repeat > MAX_PARTS:
            raise ValueError(f"at most {MAX_PARTS} parts are allowed, repetitions included")
        return self


class Rule(Schema):
    """Initializer, transforms and options for the tensors that match.

    A tied tensor has several names: it matches if one of them does. Generator `philox-v1` applies
    the first rule that wins any of its names; `torch` and `numpy` apply the rule of each name in
    the order of `Module.apply`, as a script does.
    """

    match: Match = Field(
        default=Match(), description="Criteria; without any, the rule matches every tensor."
    )
    initializer: InitializerList = Field(
        description="One, or a list applied in sequence; the last draw wins."
    )
    transforms: Transforms = Field(default=(), description="Applied to the values, in order.")
    fan: FanSpec | None = Field(
        default=None, description="Fans of these tensors in place of PyTorch's."
    )
    splits: Splits | None = Field(
        default=None, description="Parts of a fused tensor, each initialized separately."
    )
    optional: bool = Field(
        default=False, strict=True, description="Allow the rule to match no tensor."
    )

    @property
    def initializers(self) -> tuple[InitializerSpec, ...]:
        """Initializers in the order they are applied."""
        given = self.initializer
        return given if isinstance(given, tuple) else (given,)

    @model_validator(mode="after")
    def _no_list_of_the_parts(self) -> Rule:
        count = len(self.initializers)
        if self.splits is not None and count > 1 and count == len(self.splits.parts):
            first = self.initializers[0].model_dump(mode="json", exclude_defaults=True)
            part = {"size": self.splits.parts[0].size, "initializer": first}
            raise PydanticCustomError(
                "initializer_list",
                "{problem}",
                {
                    "problem": f"{count} initializers beside {count} parts: a list is applied in "
                    "sequence to every part; for an initializer for each, give it to the part: "
                    f'"parts": [{json.dumps(part)}, ...]',
                    "at": ["initializer"],
                },
            )
        return self


@dataclass(frozen=True, slots=True)
class Won:
    """First matching rule of a tensor, and the captures of its name."""

    index: int
    captures: Mapping[str, int]
