"""Tables in a terminal show names as they are, whatever characters they have."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.statistics.describe import resource
from seedpoint.service.cli.tables import plan_table


def shown(name: str) -> str:
    tensor = {"name": name, "shape": [2], "dtype": "float32"}
    rule = {"match": {}, "initializer": {"type": "normal"}}
    spec: dict[str, Any] = {
        "architecture": {"type": "tensors", "tensors": [tensor]},
        "init": {"rules": [rule]},
    }
    plan = make_plan(parse_spec(spec)).plan
    console = Console(file=io.StringIO(), width=160)
    console.print(plan_table(resource(plan)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("name", ["[bold]x[/bold]", "[/bold]", "a[0]", "[link=http://x]y", "\\[b]"])
def test_a_name_is_no_markup(name: str) -> None:
    assert f" {name} " in shown(name)


@pytest.mark.parametrize(
    ("name", "escaped"), [("x\x1b[31m", r"x\x1b[31m"), ("a\nb", r"a\nb"), ("\u202ex", r"\u202ex")]
)
def test_what_a_terminal_would_obey_is_escaped(name: str, escaped: str) -> None:
    assert f" {escaped} " in shown(name)
