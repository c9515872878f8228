"""The uniform draw."""

from __future__ import annotations

import math

from scipy import stats

from seedpoint.models.draws import Uniform
from tests.models.draws.contract import DrawContract


class TestUniform(DrawContract):
    kind = Uniform
    arguments = (-0.25, 0.75)
    law = stats.uniform(-0.25, 1.0)
    refused = (
        ("must be finite", (0.0, math.inf)),
        ("needs low <= high", (1.0, 0.0)),
        ("wider than float32", (-3e38, 3e38)),
    )
