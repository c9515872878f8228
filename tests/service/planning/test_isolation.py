"""Specs that would read the server, connect, or run code: each is a problem, and nothing happens.

Each is built by a worker that is new: what a library has not imported yet, nobody has replaced.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.coverage.canaries import NAME, WORD, Cage
from tests.support import vision
from tests.support.places import ROOT
from tests.support.process import Process

Architecture = dict[str, Any]


def config(**fields: Any) -> Architecture:
    return {"type": "transformers", "config": fields}


def backbone(name: str, **more: Any) -> Architecture:
    fields = {"num_channels": 3, "features_only": True, "out_indices": [1, 2, 3, 4]}
    return {"model_type": "timm_backbone", "backbone": name, **fields, **more}


@pytest.fixture(scope="module")
def cage(tmp_path_factory: pytest.TempPathFactory) -> Cage:
    pytest.importorskip("transformers")
    vision.load()
    return Cage(tmp_path_factory.mktemp("cage"))


@pytest.fixture(scope="module")
def process(cage: Cage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A service whose workers have timm, a cache with a canary, and a listener for a Hub."""
    before = dict(os.environ)
    os.environ.update(cage.environment() | {"PYTHONPATH": str(vision.APART)})
    try:
        process = Process(tmp_path_factory.mktemp("store"), BUILD_WORKERS="1")
    finally:
        os.environ.clear()
        os.environ.update(before)
    try:
        process.get_ready()
        yield process
    finally:
        process.end()


def hostile(folder: Path) -> dict[str, Architecture]:
    """Specs by what they name."""
    path = f"local-dir:{folder}/{NAME}"
    return {
        "backbone_config": config(model_type="detr", backbone_config=backbone(path)),
        "backbone_config of the Hub": config(
            model_type="conditional_detr", backbone_config=backbone(f"hf-hub:{NAME}/repo")
        ),
        "backbone": config(model_type="detr", backbone=path, use_timm_backbone=True),
        "architecture": config(model_type="timm_wrapper", architecture=path),
        "model_args.cache_dir": config(
            model_type="timm_wrapper",
            architecture="resnet10t",
            model_args={"cache_dir": str(folder / "written")},
        ),
        "model_args.pretrained_model_args": config(
            model_type="timm_wrapper",
            architecture="resnet10t",
            model_args={"pretrained_model_args": {"checkpoint_path": "x"}},
        ),
        "model": {"type": "timm", "model": path},
    }


@pytest.fixture(scope="module")
def plan_alone(process: Process) -> Any:
    """Has a spec planned by a worker that has planned nothing before."""

    def plan(architecture: Architecture) -> httpx.Response:
        process.renew_workers()
        return httpx.post(
            f"{process.url}/v1/checkpoints",
            json={"architecture": architecture},
            headers={"Prefer": "return=minimal"},
            timeout=120,
            trust_env=False,
        )

    return plan


@pytest.mark.parametrize("name", hostile(Path()))
def test_a_spec_reads_nothing_of_the_server(plan_alone: Any, cage: Cage, name: str) -> None:
    before = len(cage.connections)
    answer = plan_alone(hostile(cage.folder)[name])
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert name.partition(" ")[0] in error["path"]
    assert WORD not in answer.text
    assert len(cage.connections) == before
    assert not (cage.folder / "written").exists()


def test_a_backbone_of_timm_by_name_is_planned_as_ever(plan_alone: Any) -> None:
    answer = plan_alone(config(model_type="detr", backbone_config=backbone("resnet10t")))
    assert answer.status_code == 201, answer.text


@pytest.mark.timeout(300)
def test_nothing_in_a_field_tells_whether_a_file_is_there(cage: Cage) -> None:
    """A sample: `python -m benchmarks.coverage.canaries` tries every field of every model."""
    names = ["timm_wrapper", "timm_backbone"]
    code = "import sys; from benchmarks.coverage.canaries import main; "
    code += f"sys.exit(main({names}, texts=2))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(vision.APART)])},
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 told, 0 connections" in done.stdout and " planned" in done.stdout


def test_the_command_line_reads_nothing_of_the_machine_either(cage: Cage) -> None:
    spec = cage.folder / "spec.json"
    spec.write_text(json.dumps({"architecture": hostile(cage.folder)["backbone_config"]}))
    command = "from seedpoint.service.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "plan", str(spec)],
        env=os.environ | cage.environment() | {"PYTHONPATH": str(vision.APART)},
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode != 0 and WORD not in done.stdout + done.stderr
    assert "backbone_config.backbone" in done.stderr
