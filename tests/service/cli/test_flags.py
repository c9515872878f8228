"""Flags of `seedpoint serve`."""

from __future__ import annotations

from typer.testing import CliRunner

from seedpoint.service.cli import app
from seedpoint.service.cli.flags import flag
from seedpoint.service.settings import Settings


def test_every_setting_is_a_flag_of_serve() -> None:
    helped = CliRunner().invoke(app, ["serve", "--help"]).stdout
    for name in Settings.model_fields:
        assert flag(name).name == name
        assert f"--{name.replace('_', '-')}" in helped


def test_a_bad_setting_is_named_by_its_flag() -> None:
    done = CliRunner().invoke(app, ["serve", "--root-path", "a b"])
    assert done.exit_code == 2
    assert "--root-path" in done.stderr and "must be a path of letters" in done.stderr
