"""Command line: `seedpoint serve | build | plan | verify | presets`."""

from __future__ import annotations

from typing import Annotated

import typer

from seedpoint.service.cli.build import build
from seedpoint.service.cli.exit_codes import EXIT_CODES
from seedpoint.service.cli.plan import plan
from seedpoint.service.cli.presets import presets
from seedpoint.service.cli.serve import Serve, serve
from seedpoint.service.cli.specs import EXAMPLE
from seedpoint.service.cli.verify import verify

_WITH_SPEC = f"{EXAMPLE}\n\n{EXIT_CODES}"

app = typer.Typer(
    name="seedpoint",
    help="Issues initialized checkpoints: a JSON spec in, safetensors files out.",
    epilog=_WITH_SPEC,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,  # Importing rich for help would double its time.
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from seedpoint.service.version import seedpoint_version

        typer.echo(f"seedpoint {seedpoint_version()}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", is_eager=True, callback=_show_version, help="Show the version and exit."
    ),
]


@app.callback()
def _options(version: Version = False) -> None: ...


app.command(epilog=EXIT_CODES, cls=Serve)(serve)
for _command in (plan, build, verify, presets):
    app.command(epilog=_WITH_SPEC if _command in (plan, build) else EXIT_CODES)(_command)


def main() -> None:
    """Run the command line; the entry point of the console script."""
    app()
