"""Report of the outcomes of all models, as counts and as a section of docs/models.md."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.coverage.check import Outcome

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"
HEAD = """# Models that are recorded correctly

Written by `make coverage-models`; do not edit. Each model is made small, its construction is
recorded, and PyTorch's own generator runs the recording. *Right* means that every tensor equals,
bit for bit, the tensor of the model's own code under the same seed, and that every tensor has a
program, so that it can be issued under `philox-v1`.
"""
MEANINGS = {
    "right": "bit for bit, and every tensor has a program",
    "partly": "bit for bit, but some tensors need a rule: no program expresses their values",
    "refused": "a problem names the line that cannot be recorded, and the reason",
    "wrong": "differs from the model's own construction",
    "not tried": "the model's own code fails on a small config, or needs another library",
    "no model": "a config that is only a part of other models",
}
SHOWN = 160  # Characters of a detail shown in the table.


def counts(outcomes: Sequence[Outcome]) -> Counter[str]:
    """Return the number of outcomes by verdict."""
    return Counter(outcome.verdict for outcome in outcomes)


def write(name: str, library: str, outcomes: Sequence[Outcome]) -> None:
    """Write the section `name` of the document, replacing an existing one."""
    text = DOCUMENT.read_text() if DOCUMENT.exists() else HEAD
    body = "\n".join(section_lines(library, sorted(outcomes, key=lambda each: each.model_type)))
    start, stop = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
    section = f"{start}\n{body}\n{stop}"
    found = re.compile(f"{re.escape(start)}.*{re.escape(stop)}", re.DOTALL)
    replaced = found.sub(lambda _: section, text) if found.search(text) else f"{text}\n{section}\n"
    DOCUMENT.write_text(replaced)


def section_lines(library: str, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield the lines of a library's section: a table of counts, then of models by verdict."""
    yield f"## {library}\n"
    yield "| verdict | models | meaning |\n|---|---|---|"
    found = counts(outcomes)
    for verdict, meaning in MEANINGS.items():
        yield f"| {verdict} | {found[verdict]} | {meaning} |"
    for verdict in ("partly", "refused", "wrong", "not tried"):
        if found[verdict]:
            yield f"\n### {verdict.capitalize()}\n\n| model | why |\n|---|---|"
            for outcome in outcomes:
                if outcome.verdict == verdict:
                    yield f"| `{outcome.model_type}` | {_cell(outcome.detail)} |"
    for verdict in ("right", "no model"):
        if found[verdict]:
            names = (f"`{o.model_type}`" for o in outcomes if o.verdict == verdict)
            yield f"\n### {verdict.capitalize()}\n\n{', '.join(names)}"


def _cell(detail: str) -> str:
    words = re.sub(r"\s+", " ", detail.replace("|", "/").replace("architecture.config: ", ""))
    return words if len(words) <= SHOWN else words[: SHOWN - 3] + "..."
