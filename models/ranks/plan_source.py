"""Plan with what its evaluation needs beside it: given bytes, and the spec it was made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch

from seedpoint.models.errors import PlatformMismatch
from seedpoint.models.generation.device_draws import Draws
from seedpoint.models.generation.evaluator import Evaluator, ReadBytes
from seedpoint.models.generation.whole_tensors import Wholes
from seedpoint.models.plan.plan import Plan
from seedpoint.models.plan.program import Literal, Materialized

if TYPE_CHECKING:
    from seedpoint.models.planning.compiler import Planned
    from seedpoint.models.spec.schema import Spec

Buffers = Callable[[], "Mapping[str, torch.Tensor] | bytes"]
"""Function that returns buffers by name, or a safetensors file of them."""


@dataclass(frozen=True)
class PlanSource:
    """Plan that can be evaluated in this process.

    A plan alone suffices unless it has literals or is platform-bound: then its spec is planned
    again, which must give the same plan. `spec` and `planned` save that if they are known.
    `read` are readers of platform-bound tensors that are stored elsewhere; `ask_buffers` gives the
    buffers that no state dict holds, instead of the spec.
    """

    plan: Plan
    spec: Spec | None = None
    planned: Planned | None = None
    read: Callable[[], Mapping[str, ReadBytes]] | None = field(default=None)
    ask_buffers: Buffers | None = None

    def evaluator(self, *, draws: Draws, wholes: Wholes | None = None) -> Evaluator:
        """Return an evaluator of the plan.

        Raises:
            PlatformMismatch: The plan is platform-bound, and its bytes cannot be had here.
        """
        return Evaluator(self.plan, self._blobs, self._materialized, draws=draws, wholes=wholes)

    @cached_property
    def buffers(self) -> Mapping[str, torch.Tensor]:
        """Buffers that no state dict holds, by name, on the CPU.

        Raises:
            SpecError: The plan's architecture cannot be built here.
        """
        if self.ask_buffers is not None:
            given = self.ask_buffers()
            return given if isinstance(given, Mapping) else safetensors.torch.load(bytes(given))
        from seedpoint.models.planning.unsaved_buffers import non_persistent_buffers

        return non_persistent_buffers(self._parsed)

    @cached_property
    def _parsed(self) -> Spec:
        if self.spec is not None:
            return self.spec
        from seedpoint.models.spec.schema import parse_spec

        return parse_spec(dict(self.plan.spec))

    @cached_property
    def _blobs(self) -> Mapping[str, Any]:
        if self.planned is not None:
            return self.planned.blobs
        return self._replanned.blobs if _has(self.plan, Literal) else {}

    @cached_property
    def _materialized(self) -> Mapping[str, ReadBytes]:
        if self.plan.platform is None:
            return {}
        if self.read is not None:
            return self.read()
        from seedpoint.models.planning.sequential import check_platform, materialized

        check_platform(self.plan)
        return materialized(self._parsed, self.planned or self._replanned)

    @cached_property
    def _replanned(self) -> Planned:
        """Result of planning the plan's spec again.

        Raises:
            PlatformMismatch: The installed libraries make another plan of it.
        """
        from seedpoint.models.planning.compiler import make_plan
        from seedpoint.models.planning.sequential import platform

        found = make_plan(self._parsed, platform=platform())
        if found.plan.id != self.plan.id:
            raise PlatformMismatch(
                f"checkpoint {self.plan.id} has values that its plan does not contain, and the "
                "installed libraries make another plan of its spec; load it from its files"
            )
        return found


def _has(plan: Plan, kind: type) -> bool:
    """Return whether a source of this kind occurs in a program that is evaluated."""
    programs = {id(tensor.program): tensor.program for tensor in plan.tensors}
    return any(_within(program, kind) for program in programs.values())


def _within(value: Any, kind: type) -> bool:
    if isinstance(value, kind):
        return True
    if isinstance(value, Materialized):
        return False  # the program it shows is not evaluated
    if isinstance(value, tuple):
        return any(_within(item, kind) for item in value)
    names = getattr(value, "__dataclass_fields__", ())
    return any(_within(getattr(value, name), kind) for name in names)
