"""Draws: the distributions that the stream has, each with what other folders need of it.

A distribution is one module here (constants, law, recording, sequential drawing), its kernels in
`models/stream`, its initializer in `models/initializers/drawn.py`, and its name in this registry.
"""

from __future__ import annotations

from seedpoint.models.draws.draw import Draw
from seedpoint.models.draws.log_uniform import LogUniform
from seedpoint.models.draws.normal import Normal
from seedpoint.models.draws.trunc_normal import TruncNormal
from seedpoint.models.draws.uniform import Uniform

__all__ = ["DRAWS", "Draw", "LogUniform", "Normal", "TruncNormal", "Uniform"]

DRAWS: dict[str, type[Draw]] = {cls.type: cls for cls in (Uniform, Normal, TruncNormal, LogUniform)}
"""Every draw, by the name that a plan, the kernels and the reference have for it."""
