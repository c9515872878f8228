"""The documentation cannot lie: pages are the code's, commands run, nothing is left out."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from docs.generate import FOLDER, pages
from seedpoint.models import architectures, initializers
from seedpoint.models.initializers import transforms
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.service.settings import Settings
from tests.support import vision
from tests.support.places import ROOT

if TYPE_CHECKING:
    from tests.support.running import Running

READMES = [ROOT / name / "README.md" for name in (".", "client", "examples")]
PAGES = [*READMES, ROOT / "CONTRIBUTING.md", *FOLDER.glob("*.md")]


@pytest.mark.parametrize("name", pages())
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == pages()[name], "run `python -m docs.generate`"


def test_nothing_is_left_out() -> None:
    text = "".join(page.read_text("utf-8") for page in FOLDER.glob("*.md"))
    names = [entry["type"] for entry in architectures.catalogue()]
    names += [entry["type"] for entry in initializers.catalogue()]
    names += [entry["type"] for entry in transforms.catalogue()]
    names += [f"SEEDPOINT_{name.upper()}" for name in Settings.model_fields]
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", [ROOT / "CONTRIBUTING.md", FOLDER / "architecture.md"], ids=str)
def test_the_files_and_folders_that_a_page_names_exist(page: Path) -> None:
    tops = "models|service|src|tests|docs|benchmarks|examples|client"
    named = re.findall(rf"`((?:{tops})/[\w./-]*)`", page.read_text("utf-8"))
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_index_leads_to_every_page_and_every_example() -> None:
    index = (FOLDER / "README.md").read_text("utf-8")
    assert [page.name for page in FOLDER.glob("*.md") if f"({page.name})" not in index] == [
        "README.md"
    ]
    table = (ROOT / "examples" / "README.md").read_text("utf-8")
    examples = (ROOT / "examples").rglob("*.json")
    names = [str(path.relative_to(ROOT / "examples")) for path in examples]
    assert [name for name in names if f"({name})" not in table] == []


def blocks(page: Path, language: str) -> Iterator[str]:
    yield from re.findall(rf"```{language}\n(.*?)\s*```", page.read_text("utf-8"), re.DOTALL)


def test_the_readmes_spec_is_the_example() -> None:
    (spec, problem) = map(json.loads, blocks(ROOT / "README.md", "json"))
    plain = json.loads((ROOT / "examples" / "mlp.json").read_text())
    assert parse_spec(spec) == parse_spec(plain)
    assert problem["status"] == 422


def test_the_readmes_problem_is_what_is_answered(service: Running) -> None:
    (spec, problem) = map(json.loads, blocks(ROOT / "README.md", "json"))
    spec["architecture"]["layers"][2]["out_features"] = -10
    answer = service.issue(spec)
    assert answer.status_code == 422
    assert {key: answer.json()[key] for key in problem} == problem


def test_the_readmes_curl_lines_work(service: Running, tmp_path: Path) -> None:
    section = next(block for block in blocks(ROOT / "README.md", "sh") if "curl" in block)
    commands = section.replace("http://127.0.0.1:8000", service.url).splitlines()
    assert len(commands) == 3
    for command in commands:
        words: list[Any] = shlex.split(command.replace("@examples", f"@{ROOT / 'examples'}"))
        words[0] = {".venv/bin/python": sys.executable}.get(words[0], words[0])
        quiet = ["--silent", "--show-error", "--fail"] if words[0] == "curl" else []
        done = subprocess.run(
            [words[0], *quiet, *words[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
    assert "hidden.weight" in done.stdout
    assert (tmp_path / "model.safetensors").stat().st_size > 31784


RUN = {name: ROOT / "docs" / f"{name}.md" for name in ("api", "cli", "hub")}
RUN["readme"] = ROOT / "README.md"


@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_work(service: Running, tmp_path: Path, page: str) -> None:
    """Each block from its beginning to its end, in one folder, where the examples are."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    found = [block for block in blocks(RUN[page], "sh") if not block.startswith("make ")]
    service.http.post("/v1/checkpoints", json=json.loads((ROOT / "examples/mlp.json").read_text()))
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_HOME": str(tmp_path / "hub"),
        "no_proxy": "*",
    }
    environment.pop("HF_HUB_OFFLINE", None)
    for block in found:
        lines = [line for line in block.splitlines() if _is_here(line)]
        script = "\n".join(lines).replace("http://127.0.0.1:8000", service.url)
        script = script.replace("curl ", "curl --silent --show-error --fail ")
        script = script.replace(".venv/bin/", "")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, (script, done.stderr)
    assert found


def _is_here(line: str) -> bool:
    """Whether what a line runs is installed: only what comes from elsewhere may be missing."""
    program = line.split(maxsplit=1)[0]
    return program not in ("wget", "aria2c") or shutil.which(program) is not None


def test_a_documented_flag_of_serve_is_one() -> None:
    flags = {f"--{name.replace('_', '-')}" for name in Settings.model_fields}
    for page in PAGES:
        for words in re.findall(r"seedpoint serve([^\n`]*)", page.read_text("utf-8")):
            assert set(re.findall(r"--[a-z-]+", words)) - flags == set(), page


def test_a_documented_verb_of_make_is_one() -> None:
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        text = page.read_text("utf-8")
        said = re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)
        assert set(said) - verbs == set(), page


def specs_of(page: Path) -> list[dict[str, Any]]:
    found = [json.loads(block) for block in blocks(page, "json")]
    lines = [line for block in blocks(page, "jsonl") for line in block.splitlines()]
    found += [{"architecture": json.loads(line)} for line in lines if line.strip()]
    return [document for document in found if "architecture" in document]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_specs_of_a_page_can_be_issued(page: Path) -> None:
    for document in specs_of(page):
        if document["architecture"]["type"] in ("timm", "torchvision"):
            vision.load()
        assert make_plan(parse_spec(document)).plan.tensors


CLIENT = ROOT / "client" / "README.md"


@pytest.mark.parametrize("number", range(len(list(blocks(CLIENT, "python")))))
def test_the_clients_examples_work(service: Running, tmp_path: Path, number: int) -> None:
    code = list(blocks(CLIENT, "python"))[number]
    is_test = "seed_checkpoint" in code
    file = tmp_path / ("test_it.py" if is_test else "it.py")
    file.write_text(code.replace("http://127.0.0.1:8000", service.url))
    (tmp_path / "spec.json").write_text((ROOT / "examples" / "mlp.json").read_text())
    testing = ["-m", "pytest", "-p", "seedpoint_client.pytest_plugin"]
    done = subprocess.run(
        [sys.executable, *(testing if is_test else []), file.name],
        cwd=tmp_path,
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "client"), str(ROOT / "src")]),
            "SEEDPOINT_URL": service.url,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model.safetensors" in done.stdout or number > 0


def test_the_streams_vectors_are_the_known_answers() -> None:
    golden = json.loads((ROOT / "tests/golden/philox_v1_vectors.json").read_text())["cases"]
    shown = re.findall(
        r"\| ([a-z_]+).*?\| ((?:`[0-9a-f]{8}` ?)+)", (FOLDER / "stream.md").read_text()
    )
    for what, values in shown:
        distribution = what.rstrip("s") if what == "words" else what
        case = next(
            case
            for case in golden
            if (case["distribution"], case["seed"], case["name"], case["draw"], case["start"])
            == (distribution, 42, "hidden.weight", 0, 0)
        )
        assert re.findall(r"[0-9a-f]{8}", values) == case["values"][:4]
    assert len(shown) == 4
