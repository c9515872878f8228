"""The normal draw."""

from __future__ import annotations

from scipy import stats

from seedpoint.models.draws import Normal
from tests.models.draws.contract import DrawContract


class TestNormal(DrawContract):
    kind = Normal
    arguments = (1.0, 0.02)
    law = stats.norm(1.0, 0.02)
    refused = (
        ("finite mean and std", (0.0, 1e39)),
        ("std >= 0", (0.0, -1.0)),
    )
