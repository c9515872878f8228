"""Limits on the planning of one spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from seedpoint.models.architectures import MAX_MODULES
from seedpoint.models.errors import LimitExceeded


@dataclass(frozen=True, slots=True)
class Limits:
    """Maximum sizes of one spec; the time and memory of planning grow with them.

    `modules` are counted before any is made. `matches` is the number of rules times the number of
    tensor names, because every rule may be tried on every name. `plan_bytes` is the size of the
    plan's record in bytes. The record goes into a file's header, where quotes take twice the space;
    32 MiB always fit.
    """

    modules: int = MAX_MODULES
    tensors: int = 100_000
    matches: int = 10_000_000
    plan_bytes: int = 24 << 20

    def within(self, other: Limits) -> Limits:
        """Return the lower of each limit."""
        return Limits(*map(min, astuple(self), astuple(other)))

    def check_tensors(self, count: int) -> None:
        """Check the number of tensors.

        Raises:
            LimitExceeded: If `count` is above the limit.
        """
        if count > self.tensors:
            message = f"has {count} tensors; at most {self.tensors} are allowed"
            raise LimitExceeded.at("architecture", message)

    def check_rules(self, path: str, rules: Sequence[object], names: int) -> None:
        """Check the number of `rules` at `path` against the number of tensor names.

        Raises:
            LimitExceeded: If there are too many rules for `names` names.
        """
        if len(rules) * names > self.matches:
            raise LimitExceeded.at(
                path,
                f"{len(rules)} rules are too many for {names} tensor names; at most "
                f"{self.matches // names} are allowed",
            )

    def check_plan(self, nbytes: int) -> None:
        """Check the size of the plan's record, in bytes.

        Raises:
            LimitExceeded: If `nbytes` is above the limit.
        """
        if nbytes > self.plan_bytes:
            message = f"the plan takes {nbytes} bytes; at most {self.plan_bytes} are allowed"
            raise LimitExceeded.at("", message)


DEFAULT = Limits()
