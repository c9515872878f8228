"""Tally of faults: one fault for each cause, with the number of tensors that have it too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from seedpoint.models.errors import Fault, SpecError


class FaultTally:
    """Faults of many tensors, in order of appearance, each cause once."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], Fault] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, error: SpecError, tensor: str) -> None:
        """Count the faults of the tensor of this name."""
        for fault in error.faults:
            # The known names of an expression differ between layers, which have own numbers.
            message, _, _ = fault.message.removeprefix(f"'{tensor}': ").partition("; known names:")
            cause = (fault.path, message)
            self._first.setdefault(cause, fault)
            self._counts[cause] += 1

    def faults(self) -> Iterator[Fault]:
        """Yield the first fault of each cause."""
        for cause, fault in self._first.items():
            more = self._counts[cause] - 1
            also = f" (and {more} more tensors)" if more else ""
            yield Fault(fault.path, fault.message + also)
