"""What can be wrong with a spec, as values that name their place in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

MAX_CHARACTERS = 2_000  # Of a path, and of a message: both may quote names of any length.


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a spec.

    `path` is the dotted place in the document as the caller wrote it
    (`architecture.layers.2.out_features`; empty for the document itself) and
    `message` says, in lower case, what is wrong and what would be right. Of what is longer
    than `MAX_CHARACTERS`, the middle is left out.
    """

    path: str
    message: str

    def __post_init__(self) -> None:
        for name in ("path", "message"):
            object.__setattr__(self, name, _shortened(getattr(self, name)))

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class SpecError(ValueError):
    """A spec that cannot be issued, with every fault that was found."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, self.faults)))

    @classmethod
    def at(cls, path: str, message: str) -> Self:
        """A spec with the single fault `message` at `path`."""
        return cls([Fault(path, message)])

    def __reduce__(self) -> tuple[type[SpecError], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)


class LimitExceeded(SpecError):
    """A spec that asks for more of something than it may."""


class PlatformMismatch(RuntimeError):
    """A platform-bound checkpoint that this host cannot reproduce bit for bit."""


def _shortened(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    kept = MAX_CHARACTERS // 2
    return f"{text[:kept]}...{text[-kept:]}"
