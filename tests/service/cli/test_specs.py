"""Specs on the command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from seedpoint.service.cli import app


@pytest.mark.parametrize("command", [[], ["plan"], ["build"]])
def test_the_spec_in_the_help_can_be_planned(command: list[str]) -> None:
    helped = CliRunner().invoke(app, [*command, "--help"]).stdout
    spec = helped.partition("A spec:")[2].partition("Exit codes:")[0]
    assert json.loads(spec)["init"]["seed"] == 42
    done = CliRunner().invoke(app, ["plan", "-", "--json"], input=spec)
    assert done.exit_code == 0, done.stderr
    names = [tensor["name"] for tensor in json.loads(done.stdout)["tensors"]]
    assert names == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
