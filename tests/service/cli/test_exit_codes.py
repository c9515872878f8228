"""Exit codes of the command line."""

from __future__ import annotations

from typer.testing import CliRunner

from seedpoint.service.cli import app


def test_every_exit_code_is_on_a_line_of_the_help_of_every_command() -> None:
    for command in ("serve", "plan", "build", "verify", "presets"):
        helped = CliRunner().invoke(app, [command, "--help"]).stdout
        lines = [line.split() for line in helped.partition("Exit codes:")[2].splitlines() if line]
        assert [line[0] for line in lines] == [*map(str, range(8)), "143"]
