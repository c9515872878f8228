"""Tensors of one checkpoint, planned in the order in which copies need them."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import cached_property
from itertools import islice

from seedpoint.models.initializers.base import Other
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.program import Materialized
from seedpoint.models.planning.record_architecture import Structure

MAX_COPIES = 8  # copies of copies; a plan holds the program of each inside the next
MAX_NAMES = 2000  # names among which a hint looks for the nearest
NEAREST = 3  # names in a hint


class PlannedTensors:
    """Tensors by number, each planned once by `plan`, when it is first needed."""

    def __init__(self, structure: Structure, plan: Callable[[int], PlanTensor]) -> None:
        self._structure = structure
        self._plan = plan
        self._planned: dict[int, PlanTensor] = {}
        self._open: list[int] = []  # being planned, each for a copy by the one before it

    def get(self, index: int) -> PlanTensor:
        """Return the plan of a tensor.

        Raises:
            SpecError: The tensor has a fault.
        """
        if (planned := self._planned.get(index)) is None:
            self._open.append(index)
            try:
                planned = self._planned[index] = self._plan(index)
            finally:
                self._open.pop()
        return planned

    def other(self, name: str) -> Other:
        """Return the tensor of that name, for a copy.

        Raises:
            ValueError: There is none, or it is a copy that leads back here.
            SpecError: The tensor has a fault.
        """
        if (index := self._numbers.get(name)) is None:
            near = get_close_matches(name, list(islice(self._numbers, MAX_NAMES)), NEAREST, 0.0)
            raise ValueError(f"no tensor '{name}'; nearest: {', '.join(map(repr, near))}")
        if index in self._open:
            raise ValueError(f"'{name}' is a copy of this tensor, or this tensor itself")
        if len(self._open) > MAX_COPIES:
            raise ValueError(f"copies of copies are more than {MAX_COPIES} deep")
        found = self.get(index)
        source = found.program.source
        program = source.shown if isinstance(source, Materialized) else found.program
        return Other(found.name, found.shape, found.dtype, program)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Number of each tensor by each of its names."""
        return {
            name: index
            for index, tensor in enumerate(self._structure.tensors)
            for name in (tensor.name, *tensor.aliases)
        }
