"""`--blob FILE` of plan, build and verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save
from typer.testing import CliRunner, Result

from seedpoint.service.cli import app
from tests.support.blob_files import by_file, embedding, rows, sha256

CONTENT = save({"emb.weight": rows(dtype=torch.bfloat16)})


def seedpoint(*arguments: str | Path, spec: Any = None) -> Result:
    environment = {"COLUMNS": "200", "TERMINAL_WIDTH": "200"}
    given = "" if spec is None else json.dumps(spec)
    return CliRunner(env=environment).invoke(app, list(map(str, arguments)), input=given)


@pytest.fixture
def blob(tmp_path: Path) -> Path:
    path = tmp_path / "emb.safetensors"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def spec() -> dict[str, Any]:
    found: dict[str, Any] = embedding(by_file(sha256(CONTENT)))
    return found


def test_plan_shows_where_the_values_are(spec: Any, blob: Path) -> None:
    done = seedpoint("plan", "-", "--blob", blob, spec=spec)
    assert done.exit_code == 0, done.stderr
    assert "blob(sha256=" in done.stdout and "dtype=bfloat16" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("generator", ["philox-v1", "torch", "numpy"])
def test_build_writes_the_values_and_verify_reads_them_again(
    spec: Any, blob: Path, tmp_path: Path, generator: str
) -> None:
    spec["init"]["generator"] = generator
    out = tmp_path / "model.safetensors"
    done = seedpoint("build", "-", "-o", out, "--blob", blob, spec=spec)
    assert done.exit_code == 0, done.stderr
    assert load_file(out)["weight"].equal(rows(dtype=torch.bfloat16).float())
    if generator == "philox-v1":
        assert "pass" in done.stdout
    checked = seedpoint("verify", out, "--blob", blob)
    assert checked.exit_code == 0, checked.stdout + checked.stderr
    assert "verified" in checked.stdout
    assert "the installed libraries make the same plan" in checked.stdout


def test_verify_without_the_file_says_what_is_not_checked(
    spec: Any, blob: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model.safetensors"
    seedpoint("build", "-", "-o", out, "--blob", blob, "--no-statistics", spec=spec)
    done = seedpoint("verify", out)
    assert done.exit_code == 4
    assert f"not checked: 'weight'; blob {sha256(CONTENT)} is not given (--blob FILE)" in (
        done.stdout
    )


def test_verify_finds_a_wrong_value(spec: Any, blob: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    seedpoint("build", "-", "-o", out, "--blob", blob, "--no-statistics", spec=spec)
    raw = bytearray(out.read_bytes())
    raw[-1] ^= 1
    out.write_bytes(raw)
    done = seedpoint("verify", out, "--blob", blob)
    assert done.exit_code == 6
    assert "element 17 [5, 2]" in done.stdout


def test_a_spec_without_its_file_says_what_to_add(spec: Any, blob: Path) -> None:
    other = blob.with_name("other")
    other.write_bytes(save({"emb.weight": rows()}))
    for given in ((), ("--blob", other)):
        done = seedpoint("plan", "-", *given, spec=spec)
        assert done.exit_code == 3
        assert "init.rules.0.initializer.file.sha256" in done.stderr
        assert f"no blob {sha256(CONTENT)} is given" in done.stderr
        assert "--blob FILE" in done.stderr


def test_a_file_that_no_rule_names_is_told(spec: Any, blob: Path) -> None:
    other = blob.with_name("other")
    other.write_bytes(save({"emb.weight": rows()}))
    done = seedpoint("plan", "-", "--blob", blob, "--blob", other, spec=spec)
    assert done.exit_code == 0
    assert done.stderr.startswith(f"{other} is not used: no rule names its SHA-256, ")


def test_a_file_that_is_missing_or_none_is_told(spec: Any, tmp_path: Path) -> None:
    done = seedpoint("plan", "-", "--blob", tmp_path / "missing", spec=spec)
    assert done.exit_code == 5
    assert "missing: No such file" in done.stderr
    broken = tmp_path / "broken"
    broken.write_bytes(b"not safetensors")
    done = seedpoint(
        "plan", "-", "--blob", broken, spec=embedding(by_file(sha256(b"not safetensors")))
    )
    assert done.exit_code == 3
    assert "not a safetensors file" in done.stderr
