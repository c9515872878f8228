"""Claims of docs/architecture.md and CONTRIBUTING.md, held against the code."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache

import pytest

from docs.imports import imports, ordered, picture
from tests.support.places import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text("utf-8")
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def section(title: str) -> str:
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def named(text: str) -> set[str]:
    return set(re.findall(r"`([a-z]+/[\w/]+\.py)`", text))


def table(text: str) -> str:
    return "".join(re.findall(r"^\|.*\n", text, re.MULTILINE))


@cache
def traced() -> dict[str, set[str]]:
    """The modules that each request of the tracer enters, by the request's title."""
    command = [sys.executable, "-m", "benchmarks.trace_request"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, set[str]] = {}
    for line in done.stdout.splitlines():
        if heading := re.match(r"(\S.*): \d+ modules", line):
            modules = found[heading[1]] = set()
        elif line:
            modules.add(line.split()[1])
    return found


@pytest.mark.timeout(400)
def test_a_range_read_enters_the_modules_of_its_table_and_no_others() -> None:
    entered = traced()["GET of a range of 4 KiB"]
    assert named(table(section("A range read"))) == entered


@pytest.mark.timeout(400)
def test_a_post_enters_the_modules_of_its_table() -> None:
    requests = traced()
    entered = requests["POST of a new spec, without statistics"]
    entered |= requests["The same POST in a planning worker"]
    assert named(table(section("A POST"))) - entered == set()


def test_every_folder_is_a_stage() -> None:
    folders = {f"{tree}/{path.parent.name}" for tree in ("models", "service")
               for path in (ROOT / tree).glob("*/__init__.py")}  # fmt: skip
    stages = set(re.findall(r"`((?:models|service)/\w+)`", PAGE.partition("## ")[0]))
    assert stages == folders


def test_a_word_of_the_glossary_is_explained_once() -> None:
    words = re.findall(r"^\| ([a-z][^|]*?) \|", section("Glossary"), re.MULTILINE)[1:]
    assert len(words) > 15
    assert len(words) == len(set(words))


def test_the_picture_has_every_folder_and_its_imports() -> None:
    edges, drawn = imports(), picture()
    places = ordered(edges)
    for tree in ("models", "service"):
        for path in (ROOT / tree).glob("*/__init__.py"):
            assert f"{tree}/{path.parent.name}" in places
    assert edges["models/generation", "models/stream"] > 0
    assert not any(a.startswith("models/") and b.startswith("service/") for a, b in edges)
    for (importer, other), count in edges.items():
        assert f"<title>{importer} imports {other}: {count}</title>" in drawn


def test_the_guide_lists_the_modules_that_a_new_draw_touches() -> None:
    listed = re.findall(r"<!-- TruncNormal -->(.*)<!-- /TruncNormal -->", GUIDE, re.DOTALL)
    naming = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "models").rglob("*.py")
        if "TruncNormal" in path.read_text("utf-8")
    }
    assert named(listed[0]) == naming
