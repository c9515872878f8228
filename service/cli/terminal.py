"""What is shown: tables and JSON on standard output, progress and warnings on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from seedpoint.service.report.formatting import printable

AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, no table.")]


def console() -> Console:
    """Standard output, as wide as the terminal; elsewhere lines are never wrapped."""
    return Console(width=None if sys.stdout.isatty() else 160, soft_wrap=not sys.stdout.isatty())


def room(shown: Console) -> int | None:
    """The width that a table may take; None where lines may be of any length."""
    return shown.width if shown.is_terminal else None


def print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def print_warnings(document: Mapping[str, Any]) -> None:
    for warning in document["warnings"]:
        complain(f"warning: {warning}")


def complain(line: str) -> None:
    """One line on standard error, in which what a terminal would obey is escaped."""
    typer.echo(printable(line), err=True)


@contextmanager
def progress(total_bytes: int, *, doing: str, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar, where there is a terminal, that is told of each number of bytes done."""
    columns = (
        TextColumn(doing),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    shown = Console(stderr=True)
    hidden = quiet or not shown.is_terminal
    with Progress(*columns, console=shown, disable=hidden, transient=True) as bar:
        task = bar.add_task("", total=total_bytes)
        yield lambda count: bar.advance(task, count)
