"""Wall clock and monotonic clock, and steps of the former against the latter."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

# A wall clock that is steered drifts by 500 ppm at most: 0.03 seconds a minute.
TOLERANCE_NS = 10 * 10**9


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment on both clocks, in nanoseconds: since the epoch, and since an arbitrary start."""

    wall_ns: int
    monotonic_ns: int


Clock = Callable[[], Instant]


def system() -> Instant:
    """Return the present moment on this machine's clocks."""
    return Instant(time.time_ns(), time.monotonic_ns())


class Steps:
    """Detector of steps of the wall clock: it was set, or the machine was suspended."""

    def __init__(self, begin: Instant) -> None:
        self._last = begin

    def step_ns(self, now: Instant) -> int:
        """Return the step of the wall clock since the last call, in nanoseconds; 0 without one."""
        last, self._last = self._last, now
        step_ns = now.wall_ns - last.wall_ns - (now.monotonic_ns - last.monotonic_ns)
        return step_ns if abs(step_ns) > TOLERANCE_NS else 0
