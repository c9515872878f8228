"""Command `seedpoint presets`."""

from __future__ import annotations

from typing import Annotated

import typer

from seedpoint.service.cli.exit_codes import SPEC_FAULT
from seedpoint.service.cli.terminal import AsJson, complain, console, print_json


def presets(
    word: Annotated[
        str, typer.Argument(metavar="WORD", help="Show only the names that contain WORD.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the presets, which `plan` and `build` accept by name."""
    from rich.table import Table

    from seedpoint.models import presets as known

    found = [known.get(name).summary() for name in known.names() if word.lower() in name]
    if not found:
        complain(f"no preset has {word!r} in its name; there are {len(known.names())}")
        raise typer.Exit(SPEC_FAULT)
    if as_json:
        print_json(found)
        return
    table = Table()
    for column in ("preset", "parameters", "dtype", "what it is"):
        right = column == "parameters"
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for item in found:
        count = f"{item['parameters']:,}"
        table.add_row(item["name"], count, item["dtype"], item["description"])
    console().print(table)
