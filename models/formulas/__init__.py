"""Formulas: sources whose elements are functions of their position, each in one module.

A formula is its arguments, its check and its evaluation; its initializer is in
`models/initializers/positional.py`, and its name in this registry.
"""

from __future__ import annotations

from seedpoint.models.formulas.arange import Arange, Linspace
from seedpoint.models.formulas.bilinear import Bilinear
from seedpoint.models.formulas.formula import Formula
from seedpoint.models.formulas.map import Map
from seedpoint.models.formulas.sinusoidal import InvFreq, Sinusoidal
from seedpoint.models.formulas.triangles import Tril, Triu

__all__ = [
    "FORMULAS",
    "Arange",
    "Bilinear",
    "Formula",
    "InvFreq",
    "Linspace",
    "Map",
    "Sinusoidal",
    "Tril",
    "Triu",
]

FORMULAS: dict[str, type[Formula]] = {
    cls.type: cls for cls in (Arange, Linspace, Sinusoidal, InvFreq, Tril, Triu, Bilinear, Map)
}
"""Every formula, by the name that a plan has for it."""
