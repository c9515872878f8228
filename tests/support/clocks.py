"""Clock that tests control."""

from __future__ import annotations

from seedpoint.service.storage.clock import Instant, system

DAY_SECONDS = 86_400.0


class FakeClock:
    """Clocks of this machine; `pass_` advances both, `step` only the wall clock.

    Timestamps that the kernel gives files match this clock until a test moves it.
    """

    def __init__(self) -> None:
        self._passed_ns = 0
        self._stepped_ns = 0

    def __call__(self) -> Instant:
        now = system()
        return Instant(
            now.wall_ns + self._passed_ns + self._stepped_ns, now.monotonic_ns + self._passed_ns
        )

    def pass_(self, seconds: float) -> None:
        """Advance both clocks."""
        self._passed_ns += int(seconds * 1e9)

    def step(self, seconds: float) -> None:
        """Set the wall clock, as an operator or a time server does."""
        self._stepped_ns += int(seconds * 1e9)
