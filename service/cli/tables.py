"""Checkpoints as tables that people read in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from service.report.shown import number, printable, program, shape


def plan_table(resource: Mapping[str, Any]) -> Table:
    """One row a tensor: its rule, its resolved program, its fans, what is expected of it."""
    table = _table(resource, ("tensor", "shape", "dtype", "rule", "program"))
    for column in ("fan_in", "fan_out", "mean", "std"):
        table.add_column(column, justify="right")
    for tensor in resource["tensors"]:
        expected = tensor["expected"]
        table.add_row(
            *_identity(tensor),
            "own init" if tensor["rule"] is None else str(tensor["rule"]),
            plain(program(tensor["program"])),
            number(tensor["fan_in"]),
            number(tensor["fan_out"]),
            number(expected["mean"]),
            number(expected["std"]),
        )
    return table


def statistics_table(resource: Mapping[str, Any], statistics: Mapping[str, Any]) -> Table:
    """One row a tensor: what its values are beside what its program promises."""
    table = _table(resource, ("tensor", "shape", "dtype", "program"))
    for column in ("mean", "expected", "std", "expected", "min", "max"):
        table.add_column(column, justify="right")
    table.add_column("check")
    for tensor in resource["tensors"]:
        observed, expected = statistics["tensors"][tensor["name"]], tensor["expected"]
        table.add_row(
            *_identity(tensor),
            tensor["program"]["type"],
            number(observed["mean"]),
            number(expected["mean"]),
            number(observed["std"]),
            number(expected["std"]),
            number(observed["min"]),
            number(observed["max"]),
            {True: "pass", False: "FAIL", None: ""}[observed["pass"]],
        )
    return table


def plain(text: str) -> Text:
    """`text` as it is: no markup in it, and what a terminal would obey is escaped."""
    return Text(printable(text))


def _table(resource: Mapping[str, Any], columns: tuple[str, ...]) -> Table:
    totals = resource["totals"]
    table = Table(
        title=f"seed {resource['seed']}, {resource['generator']}: {totals['tensors']} tensors, "
        f"{totals['parameters']:,} parameters, {totals['bytes']:,} bytes"
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _identity(tensor: Mapping[str, Any]) -> tuple[Text, str, str]:
    return plain(tensor["name"]), shape(tensor["shape"]), tensor["dtype"]
