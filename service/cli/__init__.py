"""Command line: `seedpoint serve | build | plan | verify | presets`."""

from __future__ import annotations

from typing import Annotated

import typer

from seedpoint.service.cli.build import build
from seedpoint.service.cli.exit_codes import EXIT_CODES
from seedpoint.service.cli.plan import plan
from seedpoint.service.cli.presets import presets
from seedpoint.service.cli.serve import serve
from seedpoint.service.cli.verify import verify
from seedpoint.service.version import seedpoint_version

app = typer.Typer(
    name="seedpoint",
    help="Issues initialized checkpoints: a JSON spec in, safetensors files out.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"seedpoint {seedpoint_version()}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", is_eager=True, callback=_show_version, help="Show the version and end."
    ),
]


@app.callback()
def _options(version: Version = False) -> None: ...


for _command in (serve, plan, build, verify, presets):
    app.command(epilog=EXIT_CODES)(_command)


def main() -> None:
    """Run the command line; the entry point of the console script."""
    app()
