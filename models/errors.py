"""Errors of a spec, as values that name their position in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self

MAX_CHARACTERS = 2_000  # per path and per message: both may quote names of any length


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in a spec.

    `path` is the dotted position in the document as the caller wrote it
    (`architecture.layers.2.out_features`; empty for the document itself). `message` says, in lower
    case, what is wrong and what would be right. Texts longer than `MAX_CHARACTERS` lose their
    middle.
    """

    path: str
    message: str

    def __post_init__(self) -> None:
        for name in ("path", "message"):
            object.__setattr__(self, name, _shortened(getattr(self, name)))

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class SpecError(ValueError):
    """Spec that cannot be issued, with every fault found."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, self.faults)))

    @classmethod
    def at(cls, path: str, message: str) -> Self:
        """Return an error with the single fault `message` at `path`."""
        return cls([Fault(path, message)])

    def __reduce__(self) -> tuple[type[SpecError], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)


class LimitExceeded(SpecError):
    """Spec that exceeds a limit."""


class PlatformMismatch(RuntimeError):
    """Platform-bound checkpoint that this host cannot reproduce bit for bit."""


class ModuleMismatch(RuntimeError):
    """Module that a checkpoint does not fit, with every difference found."""

    def __init__(self, subject: str, differences: Iterable[str]) -> None:
        self.differences = tuple(differences)
        lines = "".join(f"\n  {difference}" for difference in self.differences)
        count = len(self.differences)
        noun = "difference" if count == 1 else "differences"
        super().__init__(f"{subject}: {count} {noun}{lines}")

    def __reduce__(self) -> tuple[Any, ...]:
        subject = str(self).partition(f": {len(self.differences)} ")[0]
        return type(self), (subject, self.differences)


def _shortened(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    kept = MAX_CHARACTERS // 2
    return f"{text[:kept]}...{text[-kept:]}"
