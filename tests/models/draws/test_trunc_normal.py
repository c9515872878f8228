"""The truncated normal draw."""

from __future__ import annotations

from scipy import stats

from seedpoint.models.draws import TruncNormal
from tests.models.draws.contract import DrawContract


class TestTruncNormal(DrawContract):
    kind = TruncNormal
    arguments = (0.5, 0.1, 0.45, 0.8)
    law = stats.truncnorm(-0.5, 3, 0.5, 0.1)
    refused = (
        ("finite float32", (0.0, 1e39, -1.0, 1.0)),
        ("std > 0", (0.0, 0.0, -1.0, 1.0)),
        ("a < b", (0.0, 1.0, 1.0, 1.0)),
        ("lie wholly beyond", (0.0, 1.0, 5.0, 6.0)),
    )
