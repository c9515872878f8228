"""Draws that generator `numpy` refuses, wherever they are in a rule."""

from __future__ import annotations

import pytest

from seedpoint.models.errors import SpecError
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.planning.sequential import platform
from seedpoint.models.spec.schema import parse_spec
from tests.models.initializers.test_combined import spec


def test_numpy_refuses_a_draw_inside_a_sum() -> None:
    rule = {"type": "sum", "initializers": [{"type": "eye"}, {"type": "orthogonal"}]}
    with pytest.raises(SpecError, match="not orthogonal"):
        make_plan(parse_spec(spec({"w": rule}, generator="numpy")), platform=platform())


def test_numpy_refuses_a_draw_inside_a_split() -> None:
    rule = {"initializer": {"type": "trunc_normal"}, "splits": {"parts": [{"size": 40}]}}
    with pytest.raises(SpecError, match="not trunc_normal"):
        make_plan(parse_spec(spec({"w": rule}, generator="numpy")), platform=platform())
