"""Effects of an ATen operator on memory, read from its schema and tags."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch._ops import OpOverload

_NAMESPACES = frozenset({"aten", "prim", "prims"})
# The results of these operators share their argument's storage, which their schemas omit.
_ALIASING = frozenset({"_unsafe_view", "lift"})
_ALLOCATIONS = frozenset(
    {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "empty_permuted"}
)
# These operators only raise, on values that a working construction does not have.
_CHECKS = frozenset({"_linalg_check_errors", "_assert_async", "_assert_scalar"})
# In place, or with `out`, these operators ignore the previous contents.
_OVERWRITING = frozenset(
    {
        *("copy_", "fill_", "zero_", "eye", "arange", "linspace", "logspace", "full"),
        *("uniform_", "normal_", "random_", "exponential_", "cauchy_", "log_normal_"),
        *("geometric_", "bernoulli_", "randperm", "rand", "randn", "randint"),
    }
)


@dataclass(frozen=True, slots=True)
class Traits:
    """Properties of one operator.

    `native`: it touches no elements and runs unchanged on phantom tensors. `allocates`: it returns
    uninitialized memory. `checks`: it only raises. `valued`: its result, or the shape of its
    result, depends on values. `written` names the arguments it changes, `unread` the arguments
    whose values it ignores, and `returned` the argument that each result is (None: a new tensor).
    """

    name: str
    ours: bool
    native: bool
    allocates: bool
    checks: bool
    valued: bool
    random: bool
    overwrites: bool
    resizes: bool
    has_device: bool
    parameters: tuple[str, ...]
    written: tuple[str, ...]
    unread: frozenset[str]
    returned: tuple[str | None, ...]


@cache
def traits_of(operator: OpOverload) -> Traits:
    """Return the traits of `operator`."""
    tags, schema = operator.tags, operator._schema
    packet = schema.name.partition("::")[2]
    parameters = tuple(argument.name for argument in schema.arguments)
    written = {a.name: a.alias_info for a in schema.arguments if _is_written(a)}
    overwrites = packet in _OVERWRITING
    shapes_only = packet.endswith("_like") or packet.startswith("new_")
    return Traits(
        name=str(operator),
        ours=operator.namespace in _NAMESPACES,
        native=operator.is_view or torch.Tag.inplace_view in tags or packet in _ALIASING,
        allocates=packet in _ALLOCATIONS,
        checks=packet in _CHECKS,
        valued=torch.Tag.data_dependent_output in tags or torch.Tag.dynamic_output_shape in tags,
        random=torch.Tag.nondeterministic_seeded in tags or "generator" in parameters,
        overwrites=overwrites,
        resizes=packet.startswith("resize"),
        has_device="device" in parameters,
        parameters=parameters,
        written=tuple(written),
        unread=frozenset(parameters if shapes_only else written if overwrites else ()),
        returned=tuple(_same(result, written) for result in schema.returns),
    )


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and bool(argument.alias_info.is_write)


def _same(result: Any, written: dict[str, Any]) -> str | None:
    """Return the written argument that `result` aliases, by the schema's alias sets, if any."""
    if result.alias_info is None:
        return None
    aliases = result.alias_info.before_set
    return next((name for name, info in written.items() if info.before_set == aliases), None)
