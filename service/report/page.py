"""A checkpoint as a page: each tensor's values beside what its program promises.

Names are whatever a stranger wrote into a spec: the templates escape everything, and the
page's policy lets nothing run or load.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.statistics.expected_histogram import expected_shares
from seedpoint.models.statistics.verdict import LIMIT
from seedpoint.service.report import formatting, plots

FOLDER = Path(__file__).parent / "templates"
FOLD_ROWS = 50
MOST_TENSORS = 2000  # On one page, besides those that failed.
REFRESH_SECONDS = 2

_AFTER_DOTS = re.compile(r"(?<=\.)(?=[^.])")

VERDICTS = {True: "pass", False: "fail", None: "open"}
CRITERIA = {
    "mean": "mean",
    "std": "std",
    "kurtosis": "kurtosis",
    "extremes": "least and greatest value",
    "histogram": "histogram",
    "neighbours": "neighbouring values",
    "repeats": "rows and halves alike",
    "rows": "norms of rows",
    "norm": "norm of the matrix",
    "orthogonality": "orthogonality",
    "values": "known values",
    "finite": "finite values",
}
"""What is judged, in words."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor: what the resource and the statistics say of it, and its plot."""

    place: int
    tensor: Json
    found: Json
    bars: str
    curve: str

    @property
    def verdict(self) -> str:
        return VERDICTS[self.found["pass"]]

    @property
    def path(self) -> str:
        return f"tensors/{quote(self.tensor['name'], safe='')}"


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows that open and close together."""

    rows: Sequence[Row]
    is_open: bool

    def count(self, verdict: str) -> int:
        return sum(row.verdict == verdict for row in self.rows)


def page(plan: Plan, resource: Json, statistics: Json) -> str:
    """The page, HTML. `resource` and `statistics` are as the API gives them."""
    found = statistics["tensors"].values()
    failed = [place for place, tensor in enumerate(found) if tensor["pass"] is False]
    places = dict.fromkeys([*range(min(MOST_TENSORS, len(plan.tensors))), *failed])
    rows = {place: _row(place, plan.tensors[place], resource, statistics) for place in places}
    return _render(
        "report.html",
        resource=resource,
        statistics=statistics,
        failed=[rows[place] for place in failed],
        folds=list(_folds([rows[place] for place in sorted(places)])),
        left_out=len(plan.tensors) - len(places),
        verdicts=[VERDICTS[tensor["pass"]] for tensor in found],
        scores=[plots.dots((t["z"][of] for t in found), LIMIT) for of in ("mean", "std")],
        classes={module["name"]: module["class"] for module in resource["modules"]["modules"]},
        limit=LIMIT,
        criteria=CRITERIA,
    )


def waiting_page(resource: Json, progress: Json) -> str:
    """The page while the statistics are computed; it asks for itself again."""
    return _render(
        "waiting.html", resource=resource, progress=progress, refresh_seconds=REFRESH_SECONDS
    )


def landing_page(url: str, root: str, version: str, issued: Sequence[Json]) -> str:
    """The page at the root of a service: where to go, and what was issued lately.

    `url` is the service's, for commands; `root` is its path, for links.
    """
    return _render("landing.html", url=url, root=root, version=version, issued=issued)


def preset_page(url: str, root: str, repo: str, preset: Json) -> str:
    """The page of a preset as a repository; `url` and `root` as of `landing_page`."""
    return _render("preset.html", url=url, root=root, repo=repo, preset=preset)


@cache
def policy() -> str:
    """The Content-Security-Policy of the pages: their own style, and nothing else."""
    style = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    closed = ("default-src", "base-uri", "form-action", "frame-ancestors")
    return "; ".join([*(f"{name} 'none'" for name in closed), f"style-src 'sha256-{style}'"])


def _row(place: int, planned: PlanTensor, resource: Json, statistics: Json) -> Row:
    found = statistics["tensors"][planned.name]
    bars, curve = "", ""
    if (counted := found["histogram"]) is not None and counted["min"] < counted["max"]:
        ends = (counted["min"], counted["max"], len(counted["bins"]))
        shares = expected_shares(planned.program, planned.shape, planned.dtype, *ends)
        bars, curve = plots.histogram(counted["bins"], None if shares is None else shares.tolist())
    return Row(place, resource["tensors"][place], found, bars, curve)


def _folds(rows: Sequence[Row]) -> Iterator[Fold]:
    for start in range(0, len(rows), FOLD_ROWS):
        yield Fold(rows[start : start + FOLD_ROWS], is_open=start == 0)


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(style=_style(), **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "place", "printable", "program", "shape", "size"):
        environment.filters[name] = getattr(formatting, name)
    environment.filters["count"] = "{:,}".format
    environment.filters["breakable"] = _breakable
    return environment


def _breakable(name: str) -> Markup:
    """A dotted name that may go on in another line after each dot."""
    return Markup("<wbr>").join(escape(part) for part in _AFTER_DOTS.split(name))


@cache
def _style() -> str:
    return (FOLDER / "report.css").read_text("utf-8")
