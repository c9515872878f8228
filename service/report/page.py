"""Pages about checkpoints: each tensor's observed values beside the expected ones.

Names come from untrusted specs: the templates escape everything, and the page's policy blocks
scripts and loads.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.statistics.expected_histogram import expected_shares
from seedpoint.models.statistics.verdict import LIMIT
from seedpoint.service.report import formatting, plots

FOLDER = Path(__file__).parent / "templates"
FOLD_ROWS = 50  # Tensors that fold together.
MOST_TENSORS = 2000  # On one page, plus those that failed.
REFRESH_SECONDS = 2  # Reload interval of the waiting page.

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
"""Names of the criteria for people."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor: its resource entry, link, statistics and plot."""

    place: int
    tensor: Json
    link: str
    found: Json
    bars: str
    curve: str

    @property
    def verdict(self) -> str:
        return VERDICTS[self.found["pass"]]


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows that fold together."""

    rows: Sequence[Row]
    is_open: bool

    def count(self, verdict: str) -> int:
        return sum(row.verdict == verdict for row in self.rows)


def page(plan: Plan, resource: Json, statistics: Json, tensor_link: Callable[[str], str]) -> str:
    """Return the report as HTML.

    `resource` and `statistics` are the API's documents; `tensor_link` returns the link of the
    tensor with a name.
    """
    found = statistics["tensors"].values()
    failed = [place for place, tensor in enumerate(found) if tensor["pass"] is False]
    places = dict.fromkeys([*range(min(MOST_TENSORS, len(plan.tensors))), *failed])
    rows = {
        place: _row(place, plan.tensors[place], resource, statistics, tensor_link)
        for place in places
    }
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
    """Return the page shown while the statistics are computed; it reloads itself."""
    return _render(
        "waiting.html", resource=resource, progress=progress, refresh_seconds=REFRESH_SECONDS
    )


def landing_page(
    url: str, links: Json, pages: Mapping[str, str], version: str, issued: Sequence[Json]
) -> str:
    """Return the page at the root of a service: its pages by title, and the checkpoints `issued`.

    `url` is the service's URL, for commands.
    """
    return _render(
        "landing.html", url=url, links=links, pages=pages, version=version, issued=issued
    )


def preset_page(url: str, links: Json, repo: str, preset: Json) -> str:
    """Return the page of a preset's repository; `url` is the service's URL, for commands."""
    return _render("preset.html", url=url, links=links, repo=repo, preset=preset)


@cache
def policy() -> str:
    """Return the Content-Security-Policy of the pages, which allows only their own style."""
    style = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    closed = ("default-src", "base-uri", "form-action", "frame-ancestors")
    return "; ".join([*(f"{name} 'none'" for name in closed), f"style-src 'sha256-{style}'"])


def _row(
    place: int,
    planned: PlanTensor,
    resource: Json,
    statistics: Json,
    tensor_link: Callable[[str], str],
) -> Row:
    found = statistics["tensors"][planned.name]
    bars, curve = "", ""
    if (counted := found["histogram"]) is not None and counted["min"] < counted["max"]:
        ends = (counted["min"], counted["max"], len(counted["bins"]))
        shares = expected_shares(planned.program, planned.shape, planned.dtype, *ends)
        bars, curve = plots.histogram(counted["bins"], None if shares is None else shares.tolist())
    link = tensor_link(planned.name)
    return Row(place, resource["tensors"][place], link, found, bars, curve)


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
    """Return a dotted name that may break into lines after each dot."""
    return Markup("<wbr>").join(escape(part) for part in _AFTER_DOTS.split(name))


@cache
def _style() -> str:
    return (FOLDER / "report.css").read_text("utf-8")
