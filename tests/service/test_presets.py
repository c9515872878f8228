"""Presets in the service and at the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seedpoint.models import presets

pytest.importorskip("transformers")


def test_the_service_lists_presets_and_issues_one(service: Any) -> None:
    listed = service.http.get("/v1/presets").json()["presets"]
    assert [entry["name"] for entry in listed] == list(presets.names())
    entry = next(entry for entry in listed if entry["name"] == "gpt2-tiny")
    shown = service.http.get(entry["links"]["self"]).json()
    assert entry.items() <= shown.items()
    assert shown["architecture"]["type"] == "transformers"
    assert shown["parameters"] == presets.get("gpt2-tiny").parameters
    issued = service.http.post("/v1/checkpoints", json=shown["spec"])
    assert issued.status_code in (200, 201), issued.text
    assert issued.json()["totals"]["parameters"] == shown["parameters"]
    assert "config.json" in issued.json()["links"]["files"]


def test_an_unknown_preset_is_a_problem_with_names_near_it(service: Any) -> None:
    answer = service.http.get("/v1/presets/gpt2-tny")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "gpt2-tiny" in answer.json()["detail"]
    spec = {"architecture": {"type": "preset", "name": "gpt2-tny"}}
    refused = service.http.post("/v1/checkpoints", json=spec)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"] == "architecture.name"


def test_a_command_takes_a_preset_s_name(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from seedpoint.service.cli import app

    run = CliRunner().invoke
    folder = tmp_path / "made"
    built = run(app, ["build", "gpt2-tiny", "-o", str(folder), "--seed", "7", "--no-statistics"])
    assert built.exit_code == 0, built.output
    assert {"config.json", "model.safetensors"} <= {path.name for path in folder.iterdir()}
    shown = run(app, ["plan", "gpt2-tiny", "--json"])
    assert json.loads(shown.stdout)["totals"]["parameters"] == presets.get("gpt2-tiny").parameters
    wrong = run(app, ["plan", "gpt2-tny"])
    assert wrong.exit_code == 5 and "did you mean gpt2-tiny" in wrong.stderr


def test_a_preset_comes_before_a_file_of_its_name_without_a_slash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seedpoint.service.cli.specs import read_document

    monkeypatch.chdir(tmp_path)
    assert read_document("gpt2-tiny", None)["architecture"]["name"] == "gpt2-tiny"
    Path("gpt2-tiny").write_text('{"architecture": {}}')
    assert read_document("gpt2-tiny", None)["architecture"]["name"] == "gpt2-tiny"
    assert read_document("./gpt2-tiny", None) == {"architecture": {}}
