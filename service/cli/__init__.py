"""`seedpoint serve | build | plan | verify`."""

from __future__ import annotations

import typer

from service.cli.build import build
from service.cli.exits import EXIT_CODES
from service.cli.plan import plan
from service.cli.serve import serve
from service.cli.verify import verify

app = typer.Typer(
    name="seedpoint",
    help="Issues initialized checkpoints: a JSON spec in, safetensors files out.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)
for _command in (serve, plan, build, verify):
    app.command(epilog=EXIT_CODES)(_command)


def main() -> None:
    """The console script."""
    app()
