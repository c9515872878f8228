"""Plans of presets."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from seedpoint.models import presets
from seedpoint.models.errors import SpecError
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.spec.schema import parse_spec


def planned(name: str, overrides: dict[str, Any] | None = None) -> Planned:
    return make_plan(parse_spec(presets.spec(name, overrides)))


@cache
def shipped(name: str) -> Planned:
    """The plan of a preset as it is."""
    return planned(name)


def faults(name: str, overrides: dict[str, Any]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        make_plan(
            parse_spec({"architecture": {"type": "preset", "name": name, "overrides": overrides}})
        )
    return [str(fault) for fault in caught.value.faults]
