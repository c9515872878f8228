"""The documentation cannot lie: pages are the code's, commands run, nothing is left out."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from docs.generate import FOLDER, pages
from models import architectures, initializers, transforms
from models.spec import parse_spec
from service.settings import Settings

if TYPE_CHECKING:
    from tests.running import Running

ROOT = Path(__file__).parent.parent
HAND_WRITTEN = [ROOT / "README.md", *(FOLDER / f"{n}.md" for n in ("stream", "operating"))]
HAND_WRITTEN.append(FOLDER / "reproducibility.md")


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


@pytest.mark.parametrize("page", [*HAND_WRITTEN, *FOLDER.glob("*.md")], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def blocks(page: Path, language: str) -> Iterator[str]:
    yield from re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


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


def test_the_streams_vectors_are_the_known_answers() -> None:
    golden = json.loads((ROOT / "tests/golden/philox_v1_vectors.json").read_text())["cases"]
    shown = re.findall(
        r"\| ([a-z]+).*?\| ((?:`[0-9a-f]{8}` ?)+)", (FOLDER / "stream.md").read_text()
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
    assert len(shown) == 3
