"""The build files agree with each other and with what the README promises."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
import yaml

from tests.support.places import ROOT

TESTING = ("test", "test-models", "test-service", "check", "coverage")
VERBS = (*("install", "demo", "serve", "lint", "fmt", "bench", "clean", "help"), *TESTING)
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT: dict[str, Any] = PYPROJECT["project"]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICE = COMPOSE["services"]["seedpoint"]


def make(*arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", "--directory", str(ROOT), "--no-print-directory", *arguments]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout


def recipe(verb: str, tmp_path: Path) -> str:
    """The commands that `make verb` would run on a fresh machine, with the environment in .venv."""
    venv = tmp_path / "venv"
    return make("--dry-run", verb, f"VENV={venv}", "PYTHON=python3").replace(str(venv), ".venv")


def instructions(keyword: str) -> list[str]:
    """The Dockerfile's instructions of one kind, each on one line, without the keyword."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in text.splitlines() if line.startswith(keyword)]


def steps(commands: list[str]) -> list[list[str]]:
    """The commands that make or fill the environment, as words, without cosmetic options."""
    cosmetic = ("--quiet", "--editable", "--retries", "2")
    return [
        [word for word in shlex.split(command) if word not in cosmetic]
        for command in commands
        if command.startswith("python3 -m")
    ]


# --- make ----------------------------------------------------------------------


def test_make_alone_lists_every_verb() -> None:
    assert make() == make("help")
    listed = re.findall(r"^  make ([\w-]+) +\S", make("help"), re.MULTILINE)
    assert sorted(listed) == sorted([*VERBS, "coverage-models"])


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_recipe(verb: str, tmp_path: Path) -> None:
    assert recipe(verb, tmp_path).strip()


def test_install_brings_torch_alone_and_before_the_rest(tmp_path: Path) -> None:
    _, torch, rest = steps(recipe("install", tmp_path).splitlines())
    assert torch[-1].startswith("torch==")
    assert "--no-deps" in torch
    assert rest[-1] == ".[service,transformers]"  # Every preset is a model of it.


@pytest.mark.parametrize("verb", ["demo", "serve", "lint", "fmt", "bench", *TESTING])
def test_a_verb_installs_what_it_needs(verb: str, tmp_path: Path) -> None:
    assert recipe(verb, tmp_path).startswith(recipe("install", tmp_path))


def test_a_done_step_is_not_repeated(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    venv.mkdir()
    for stamp in (".created", ".torch", ".seedpoint"):
        (venv / stamp).touch()
    assert "install" not in make("--dry-run", "serve", f"VENV={venv}")
    (venv / ".seedpoint").unlink()
    again = make("--dry-run", "serve", f"VENV={venv}")
    assert "install --quiet --editable '.[service,transformers]'" in again
    assert "torch" not in again


def test_make_says_so_when_no_python_is_new_enough(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        make("install", f"VENV={tmp_path / 'venv'}", "PYTHON=")
    assert "needs Python 3.11" in failed.value.stderr


def test_the_demo_leaves_the_file_and_shows_that_its_tensors_pass(tmp_path: Path) -> None:
    demo = [sys.executable, str(ROOT / "examples/demo.py")]
    shown = subprocess.run(demo, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    tensors = safetensors.numpy.load_file(tmp_path / "out/model.safetensors")
    assert len(tensors) == 4
    for name in tensors:
        assert re.search(rf"{re.escape(name)} .* pass\b", shown)


def test_ci_calls_only_verbs_of_make() -> None:
    lines = (ROOT / ".ci/run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands[:2] == ["set -euo pipefail", 'cd "$(dirname "${BASH_SOURCE[0]}")/.."']
    assert [line.split() for line in commands[2:]] == [["make", "check"]]
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_check_is_lint_and_every_test(tmp_path: Path) -> None:
    steps_of_check = recipe("check", tmp_path)
    assert steps_of_check.index("ruff check") < steps_of_check.index("-m pytest")
    assert steps_of_check.splitlines()[-1] == recipe("test", tmp_path).splitlines()[-1]


@pytest.mark.parametrize("verb", ["test", "coverage"])
def test_a_folder_of_tests_can_be_chosen(verb: str, tmp_path: Path) -> None:
    whole = recipe(verb, tmp_path).splitlines()[-1].split()
    venv = tmp_path / "venv"
    chosen = make("--dry-run", verb, "DIR=tests/models/stream", f"VENV={venv}", "PYTHON=python3")
    assert chosen.split()[-1] == "tests/models/stream"
    assert whole[-1] != "tests/models/stream"


def test_the_verbs_for_one_tree_run_its_tests(tmp_path: Path) -> None:
    for tree in ("models", "service"):
        assert recipe(f"test-{tree}", tmp_path).splitlines()[-1].endswith(f" tests/{tree}")


def test_the_hooks_of_a_commit_are_steps_of_lint(tmp_path: Path) -> None:
    """Hooks fetch nothing, and find nothing that CI does not."""
    lint = recipe("lint", tmp_path)
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    for hook in local["hooks"]:
        assert hook["language"] == "system"
        command = hook["entry"].removesuffix(" --force-exclude")
        assert command == "make lint" or command in lint


def test_the_templates_of_issues_are_forms() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    folder = ROOT / ".github/ISSUE_TEMPLATE"
    forms = [str(path) for path in folder.glob("*.yml") if path.name != "config.yml"]
    subprocess.run([*check, "vendor.github-issue-forms", *forms], check=True, capture_output=True)
    config = str(folder / "config.yml")
    subprocess.run([*check, "vendor.github-issue-config", config], check=True, capture_output=True)


# --- the container -------------------------------------------------------------


def test_the_dockerfile_takes_the_steps_of_make_install(tmp_path: Path) -> None:
    arguments = dict(line.split("=", 1) for line in instructions("ARG"))
    commands = " && ".join(instructions("RUN"))
    for name, value in arguments.items():
        commands = commands.replace(f"${{{name}}}", value)
    expected = steps(recipe("install", tmp_path).splitlines())
    assert steps(re.split(r"\s*&&\s*", commands)) == expected


def test_the_kernels_that_the_image_compiles_are_those_of_the_code() -> None:
    (code,) = re.findall(r'-c\s+"(.*?)"', " ".join(instructions("RUN")))
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_the_readme_tells_make_install_and_its_steps(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    assert "make install" in readme
    told = steps([line.strip() for line in readme.replace("\\\n", " ").splitlines()])
    assert told in ([], steps(recipe("install", tmp_path).splitlines()))


def test_the_build_context_holds_just_what_is_copied() -> None:
    copies = [line.split()[:-1] for line in instructions("COPY") if "--from" not in line]
    ignored, *rest = (ROOT / ".dockerignore").read_text().splitlines()[1:]
    allowed = [line.removeprefix("!") for line in rest if line.startswith("!")]
    assert ignored == "*"
    assert sorted(allowed) == sorted(path for paths in copies for path in paths)
    assert all((ROOT / path).exists() for path in allowed)


def test_the_image_is_given_all_that_its_wheel_is_built_from() -> None:
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {
        "src",
        *(path.name for path in (ROOT / "src/seedpoint").iterdir() if path.is_symlink()),
    }
    assert wheel == {"packages": ["src/seedpoint"]}
    copies = [line.split()[:-1] for line in instructions("COPY") if "--from" not in line]
    assert needed | {*PROJECT["license-files"], PROJECT["readme"], "pyproject.toml"} <= {
        *chain(*copies)
    }


def test_the_image_runs_unprivileged_and_checks_its_health() -> None:
    (user,) = instructions("USER")
    assert int(user) > 0
    (check,) = instructions("HEALTHCHECK")
    command = ast.literal_eval(re.sub(r".* CMD ", "", check))
    assert command[:3] == ["python", "-I", "-c"]
    assert "/healthz" in command[3]
    compile(command[3], "HEALTHCHECK", "exec")


def test_the_compose_file_is_valid() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    subprocess.run([*check, str(ROOT / "docker-compose.yml")], check=True, capture_output=True)


def test_compose_exposes_loopback_only_and_writes_only_its_volume() -> None:
    assert SERVICE["ports"] == ["127.0.0.1:8000:8000"]
    assert SERVICE["read_only"] is True
    (volume,) = SERVICE["volumes"]
    name, path = volume.split(":")
    assert name in COMPOSE["volumes"]
    assert instructions("VOLUME") == [path]


def test_compose_builds_with_the_defaults_of_the_dockerfile() -> None:
    arguments = dict(line.split("=", 1) for line in instructions("ARG"))
    for name, value in SERVICE["build"]["args"].items():
        assert value == f"${{{name}:-{arguments[name]}}}"


# --- the distribution ----------------------------------------------------------


def test_the_version_is_the_same_everywhere() -> None:
    assert version("seedpoint") == PROJECT["version"]
    assert SERVICE["image"] == f"seedpoint:{PROJECT['version']}"


def test_the_changelog_keeps_a_place_for_what_comes_next() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", line) for line in headings[1:])


def test_the_license_is_the_whole_of_apache_2() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    # SPDX's text of Apache-2.0, as GitHub and safetensors ship it.
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == (
        "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4"
    )


def test_every_dependency_has_a_lower_bound() -> None:
    optional = chain.from_iterable(PROJECT["optional-dependencies"].values())
    for requirement in [*PROJECT["dependencies"], *optional]:
        if not requirement.startswith("seedpoint["):
            assert re.match(r"[a-z0-9-]+(\[\w+\])?>=\d", requirement), requirement


# What a declared distribution promises to bring, and is imported by its own name.
BROUGHT = {
    "anyio": "fastapi",
    "click": "typer",
    "huggingface_hub": "transformers",
    "llvmlite": "numba",
    "markupsafe": "jinja2",
    "pydantic_core": "pydantic",
    "starlette": "fastapi",
}


@pytest.mark.parametrize("package", ["models", "service"])
def test_every_imported_library_is_a_declared_dependency(package: str) -> None:
    extras = PROJECT["optional-dependencies"]
    server = extras["service"] if package == "service" else []
    lines = [*PROJECT["dependencies"], *server, *extras["transformers"], *extras["timm"]]
    declared = {re.match(r"[a-z0-9-]+", line)[0] for line in lines}
    distributions = packages_distributions()
    for path in (ROOT / package).rglob("*.py"):
        for module in imported(path) - sys.stdlib_module_names - {"seedpoint"}:
            names = {name.lower().replace("_", "-") for name in distributions.get(module, [module])}
            assert names & declared or BROUGHT.get(module) in declared, f"{path}: {module}"


def imported(path: Path) -> set[str]:
    """The top-level names of the modules that a file imports."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module.split(".")[0])
    return modules
