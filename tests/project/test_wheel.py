"""The wheel: nothing but `seedpoint`, beside any project, with or without the extras.

The checkpoints here are constants, so that no kernel is compiled for the installed copy.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from seedpoint import Checkpoint
from tests.support.places import EXAMPLES, ROOT

LEFT_OUT = (
    "transformers",
    *("fastapi", "fastapi_offline", "httptools", "httpx", "jinja2", "prometheus_client"),
    *("cachetools", "pydantic_settings", "rich", "starlette", "structlog", "typer", "uvicorn"),
)
DOCUMENT = {
    "architecture": {"type": "Linear", "in_features": 20, "out_features": 3},
    "init": {"rules": [{"initializer": {"type": "constant", "value": 0.25}}]},
}

USE = """
import json, sys
import models, service

def main():
    import seedpoint
    checkpoint = seedpoint.Checkpoint.from_spec(json.loads(sys.argv[1]))
    checkpoint.write("out")
    report = seedpoint.verify("out")
    loaded = [name for name in sys.modules if name.split(".")[0] in ("models", "service")]
    print(json.dumps([seedpoint.__file__, checkpoint.id, report.verdict, report.same_plan, loaded]))

if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*command, "--directory", folder], cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A folder that the wheel is installed in: it has no steps but to be unpacked."""
    folder = wheel.parent / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project, whose own packages are called `models` and `service`."""
    for name in ("models", "service"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"OWNER = {name!r}\n")
    (tmp_path / "train.py").write_text(USE)
    return tmp_path


def without_extras(folder: Path) -> Path:
    """A folder in which every library of an extra is a module that says it is missing."""
    folder.mkdir()
    for name in LEFT_OUT:
        text = f"raise ModuleNotFoundError('No module named {name}', name={name!r})\n"
        (folder / f"{name}.py").write_text(text)
    return folder


def run(
    *arguments: str, cwd: Path, paths: list[Path], check: bool = True
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd, env=environment, check=check, capture_output=True, text=True,
    )  # fmt: skip


def test_it_installs_one_name_with_its_types_and_examples(installed: Path) -> None:
    assert {path.name for path in installed.iterdir()} == {
        "seedpoint",
        f"seedpoint-{version('seedpoint')}.dist-info",
    }
    assert (installed / "seedpoint/py.typed").is_file()
    packed = {path.name for path in (installed / "seedpoint/examples").glob("*.json")}
    assert packed == {path.name for path in EXAMPLES.glob("*.json")}
    assert not any(path.is_symlink() for path in installed.rglob("*"))


def test_the_core_works_without_extras_beside_packages_of_the_same_names(
    installed: Path, project: Path
) -> None:
    paths = [without_extras(project / "hidden"), installed]
    done = run("train.py", json.dumps(DOCUMENT), cwd=project, paths=paths)
    file, id_, verdict, same_plan, loaded = json.loads(done.stdout)
    expected = Checkpoint.from_spec(DOCUMENT)
    assert Path(file).is_relative_to(installed)
    assert (id_, verdict, same_plan) == (expected.id, "verified", True)
    assert sorted(loaded) == ["models", "service"]  # The project's own.
    written = (project / "out/model.safetensors").read_bytes()
    assert written == expected.read("model.safetensors")


def test_the_service_works_beside_packages_of_the_same_names(
    installed: Path, project: Path
) -> None:
    script = (
        "from seedpoint.service.api.openapi import examples; from seedpoint.models import presets; "
        "from seedpoint.service.app import create_app; "
        "print(len(examples()), presets.spec('gpt2-tiny')['architecture']['name'])"
    )
    done = run("-c", script, cwd=project, paths=[installed])
    assert done.stdout.split() == [str(len(list(EXAMPLES.glob("*.json")))), "gpt2-tiny"]


def test_the_command_names_the_extra_that_is_missing(installed: Path, project: Path) -> None:
    paths = [without_extras(project / "hidden"), installed]
    done = run("-m", "seedpoint", "serve", cwd=project, paths=paths, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "seedpoint: typer is not installed; pip install 'seedpoint[service]'"
    ]
    assert (
        "usage" in run("-m", "seedpoint", "--help", cwd=project, paths=[installed]).stdout.lower()
    )
