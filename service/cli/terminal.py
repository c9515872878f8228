"""Terminal output: tables and JSON on standard output, progress and warnings on standard error.

Rich is imported when something is shown, because the import takes longer than `--help`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seedpoint.service.report.formatting import printable

if TYPE_CHECKING:
    from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def console() -> Console:
    """Return standard output, as wide as the terminal; outside a terminal lines are not wrapped."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160, soft_wrap=not sys.stdout.isatty())


def room(shown: Console) -> int | None:
    """Return the widest table that fits, in characters; None outside a terminal."""
    return shown.width if shown.is_terminal else None


def print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def print_about(document: Mapping[str, Any]) -> None:
    """Print the name, description and labels of a spec, those that it gives."""
    for member in ("name", "description"):
        if document.get(member):
            typer.echo(f"{member}: {printable(document[member])}")
    for label, value in document.get("labels", {}).items():
        typer.echo(printable(f"label {label}: {json.dumps(value, ensure_ascii=False)}"))


def print_warnings(document: Mapping[str, Any]) -> None:
    for warning in document["warnings"]:
        complain(f"warning: {warning}")


def complain(line: str) -> None:
    """Write a line to standard error, with unprintable characters escaped."""
    typer.echo(printable(line), err=True)


@contextmanager
def progress(total_bytes: int, *, doing: str, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal; the function yielded adds a number of bytes done."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

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
