"""Tables of checkpoints for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from seedpoint.service.report.formatting import number, printable, program, shape

if TYPE_CHECKING:
    from seedpoint.models.planning.module_numbers import ExpressionNames

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Column:
    """A column; a table that is too wide omits the columns of the highest `rank` first."""

    title: str
    cells: Sequence[Text | str]
    rank: int = 0
    right: bool = False


def plan_table(resource: Json, width: int | None = None) -> Table:
    """Return a table of tensors: rule, resolved program, fans, expected mean and std.

    With a `width`, columns that do not fit are omitted, and the caption says so.
    """
    tensors = resource["tensors"]
    rules = ["own init" if t["rule"] is None else str(t["rule"]) for t in tensors]
    columns = [
        *_identity(tensors),
        _Column("rule", rules, rank=2),
        _Column("program", [plain(program(t["program"])) for t in tensors]),
        _numbers("fan_in", (t["fan_in"] for t in tensors), rank=4),
        _numbers("fan_out", (t["fan_out"] for t in tensors), rank=5),
        _numbers("mean", (t["expected"]["mean"] for t in tensors), rank=6),
        _numbers("std", (t["expected"]["std"] for t in tensors), rank=1),
    ]
    return _fitted(resource, columns, width)


def statistics_table(resource: Json, statistics: Json, width: int | None = None) -> Table:
    """Return a table of tensors: observed values beside those that the program promises.

    With a `width`, columns that do not fit are omitted, and the caption says so.
    """
    tensors = resource["tensors"]
    found = [statistics["tensors"][t["name"]] for t in tensors]
    checks = [{True: "pass", False: "FAIL", None: ""}[of["pass"]] for of in found]
    columns = [
        *_identity(tensors),
        _Column("program", [t["program"]["type"] for t in tensors], rank=2),
        _numbers("mean", (of["mean"] for of in found), rank=4),
        _numbers("expected", (t["expected"]["mean"] for t in tensors), rank=5),
        _numbers("std", (of["std"] for of in found)),
        _numbers("expected", (t["expected"]["std"] for t in tensors), rank=1),
        _numbers("min", (of["min"] for of in found), rank=6),
        _numbers("max", (of["max"] for of in found), rank=6),
        _Column("check", checks),
    ]
    return _fitted(resource, columns, width)


def names_in_expressions(names: ExpressionNames) -> Iterator[Text]:
    """Yield a line for each class of layers and each config with names for expressions."""
    yield plain("names in expressions: fan_in, fan_out, numel, ndim")
    for layer, found in names.layers.items():
        yield plain(f"  of {layer}: {', '.join(found)}")
    for module, config in names.configs.items():
        numbers = ", ".join(f"{name}={value:g}" for name, value in config.items())
        yield plain(f"  of the config{f' of {module}' if module else ''}: {numbers}")


def plain(text: str) -> Text:
    """Return `text` literally: without markup, and with unprintable characters escaped."""
    return Text(printable(text))


def _identity(tensors: Sequence[Json]) -> list[_Column]:
    return [
        _Column("tensor", [plain(t["name"]) for t in tensors]),
        _Column("shape", [shape(t["shape"]) for t in tensors], rank=3),
        _Column("dtype", [t["dtype"] for t in tensors], rank=7),
    ]


def _numbers(title: str, values: Iterable[float | None], rank: int = 0) -> _Column:
    return _Column(title, [number(value) for value in values], rank, right=True)


def _fitted(resource: Json, columns: Sequence[_Column], width: int | None) -> Table:
    kept = list(columns)
    table = _table(resource, kept)
    while width is not None and _natural_width(table) > width:
        rank = max(column.rank for column in kept)
        if not rank:
            break  # The remaining columns fold their lines.
        kept = [column for column in kept if column.rank < rank]
        table = _table(resource, kept)
    if len(kept) < len(columns):
        table.caption = "a wider terminal shows more columns; --json shows everything"
    return table


def _natural_width(table: Table) -> int:
    wide = Console(width=100_000)
    return Measurement.get(wide, wide.options, table).maximum


def _table(resource: Json, columns: Sequence[_Column]) -> Table:
    totals = resource["totals"]
    table = Table(
        title=f"seed {resource['seed']}, {resource['generator']}: {totals['tensors']} tensors, "
        f"{totals['parameters']:,} parameters, {totals['bytes']:,} bytes"
    )
    for column in columns:
        table.add_column(column.title, justify="right" if column.right else "left", overflow="fold")
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    return table
