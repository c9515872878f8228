"""The most that a spec may ask of planning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from seedpoint.models.architectures import MAX_MODULES
from seedpoint.models.errors import LimitExceeded


@dataclass(frozen=True, slots=True)
class Limits:
    """What one spec may have at most: sizes that time and memory grow with.

    `modules` are counted before any is made. `matches` are rules times names of tensors:
    every rule may be tried on every name. `plan_bytes` is the size of the plan's record,
    which goes into a file's header, where quotes take twice as much: 32 MiB always fit.
    """

    modules: int = MAX_MODULES
    tensors: int = 100_000
    matches: int = 10_000_000
    plan_bytes: int = 24 << 20

    def within(self, other: Limits) -> Limits:
        """The lower of each."""
        return Limits(*map(min, astuple(self), astuple(other)))

    def check_tensors(self, count: int) -> None:
        """Raises LimitExceeded."""
        if count > self.tensors:
            message = f"has {count} tensors; at most {self.tensors} are allowed"
            raise LimitExceeded.at("architecture", message)

    def check_rules(self, path: str, rules: Sequence[object], names: int) -> None:
        """Raises LimitExceeded when `rules`, which are at `path`, are too many for `names`."""
        if len(rules) * names > self.matches:
            raise LimitExceeded.at(
                path,
                f"{len(rules)} rules are too many for {names} names of tensors; at most "
                f"{self.matches // names} are allowed",
            )

    def check_plan(self, nbytes: int) -> None:
        """Raises LimitExceeded."""
        if nbytes > self.plan_bytes:
            message = f"its plan takes {nbytes} bytes; at most {self.plan_bytes} are allowed"
            raise LimitExceeded.at("", message)


DEFAULT = Limits()
