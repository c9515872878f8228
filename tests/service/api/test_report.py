"""The report: whole, readable, and harmless whatever names are in it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from seedpoint.service.report.page import MOST_TENSORS, policy, waiting_page
from tests.support.running import Running, mlp

VOID = {"meta", "br", "link", "img", "input", "hr", "wbr"}
HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</title></style><b>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "&lt;&amp;",
    "\u202egnp",
    "a\nb\tc\x1b[31m",
    "..",
    "a/b?c#d",
]


class Page(HTMLParser):
    """A page as a browser sees it: elements with attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], "elements that are not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def report(service: Running, spec: dict[str, Any]) -> tuple[Page, str]:
    resource = service.issue(spec).json()
    answer = service.http.get(resource["links"]["report"])
    assert answer.status_code == 200, answer.text[:500]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Page(answer.text), answer.text


def test_the_page_shows_every_tensor_beside_what_is_expected(service: Running) -> None:
    page, _ = report(service, mlp(300))
    shown = "".join(page.text)
    for name in ("hidden.weight", "hidden.bias", "output.weight", "output.bias"):
        assert name in shown
    assert "uniform(low=-0.223607, high=0.223607)" in shown
    assert "4 pass" in shown
    ids = {attrs.get("id") for _, attrs in page.elements}
    assert {f"{kind}{n}" for kind in "tbc" for n in range(4)} <= ids
    for _, attrs in page.elements:
        if (target := attrs.get("href") or "").startswith("#"):
            assert target[1:] in ids


def test_the_policy_lets_nothing_run_or_load_but_the_page_s_own_style(service: Running) -> None:
    link = service.issue(mlp(300)).json()["links"]["report"]
    answer = service.http.get(link)
    assert answer.headers["content-security-policy"] == policy()
    assert "default-src 'none'" in policy()
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy()
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_asks_no_host_and_runs_nothing(service: Running) -> None:
    page, _ = report(service, mlp(301) | {"max_shard_size": 20_480})
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form", "image"}
    for _, attrs in page.elements:
        assert not any(name.startswith("on") or name in ("style", "src") for name in attrs)
        target = attrs.get("href")
        assert target is None or target.startswith(("#", "/v1/checkpoints/"))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_and_nothing_else(service: Running, name: str) -> None:
    tensor = {"name": name, "shape": [40], "dtype": "float32"}
    rule = {"match": {}, "initializer": {"type": "normal"}}
    spec = {"architecture": {"type": "tensors", "tensors": [tensor]}, "init": {"rules": [rule]}}
    page, text = report(service, spec)
    plain, _ = report(service, mlp(300))
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in plain.elements}
    escaped = "".join(char if char.isprintable() else repr(char)[1:-1] for char in name)
    assert escaped in "".join(page.text)
    assert "\u202e" not in text and "\x1b" not in text
    (link,) = {a["href"] for _, a in page.elements if "/tensors/" in (a.get("href") or "")}
    assert link is not None
    assert service.http.get(link).is_success


def test_a_tensor_without_statistics_or_values_has_its_row(service: Running) -> None:
    listed = [("int", [3], "int64"), ("none", [0], "float32"), ("big", [50], "float8_e5m2")]
    tensors = [{"name": n, "shape": shape, "dtype": dtype} for n, shape, dtype in listed]
    rules = [
        {"match": {"name": "big"}, "initializer": {"type": "normal", "std": 1e6}},
        {"match": {}, "initializer": {"type": "constant", "val": 1}},
    ]
    spec = {"architecture": {"type": "tensors", "tensors": tensors}, "init": {"rules": rules}}
    page, _ = report(service, spec)
    shown = "".join(page.text)
    assert "not finite" in shown
    assert "no values" in shown


def test_a_thousand_tensors_are_folded(service: Running) -> None:
    layers = [{"type": "Linear", "in_features": 4, "out_features": 4}] * 500
    page, text = report(service, {"architecture": {"type": "Sequential", "layers": layers}})
    folds = [a for tag, a in page.elements if tag == "details" and a.get("class") == "fold"]
    rows = [a for tag, a in page.elements if tag == "details" and a.get("class") == "tensor"]
    assert len(rows) == 1000
    assert len([fold for fold in folds if "open" in fold]) == 2  # The first, and the files.
    assert len(text) < 5_000_000


def test_more_tensors_than_fit_are_left_to_the_statistics(service: Running) -> None:
    architecture = {
        "type": "tensors",
        "tensors": [
            {"name": f"t{n}", "shape": [2], "dtype": "float32"} for n in range(MOST_TENSORS + 7)
        ],
    }
    rule = {"match": {}, "initializer": {"type": "zeros"}}
    page, _ = report(service, {"architecture": architecture, "init": {"rules": [rule]}})
    assert "7 more tensors are in the" in "".join(page.text)


def test_statistics_that_take_long_are_a_page_that_looks_again(
    start: Callable[..., Running],
) -> None:
    service = start(statistics_wait_seconds=0.01)
    link = service.issue(mlp()).json()["links"]["report"]
    with service.holding_engine():
        answer = service.http.get(link)
    assert answer.status_code == 202
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-security-policy"] == policy()
    assert any(a.get("http-equiv") == "refresh" for _, a in Page(answer.text).elements)


@pytest.mark.parametrize(
    ("state", "shown"),
    [("running", "42.5%"), ("waiting", "wait for their turn"), ("not-begun", "have not begun yet")],
)
def test_the_page_says_what_the_statistics_wait_for(
    service: Running, state: str, shown: str
) -> None:
    resource = service.issue(mlp(300)).json()
    numbers = ("bytes_done", "bytes_total", "bytes_per_second", "elapsed_seconds")
    progress = dict.fromkeys(numbers, 1) | {"percent": 42.5, "remaining_seconds": None}
    page = Page(waiting_page(resource, progress | {"state": state}))
    assert shown in "".join(page.text)


def test_a_long_name_goes_on_in_another_line_after_a_dot(service: Running) -> None:
    _, text = report(service, mlp(300))
    assert "hidden.<wbr>weight" in text


def test_the_root_leads_to_everything_that_was_issued_lately(service: Running) -> None:
    resource = service.issue(mlp(302)).json()
    answer = service.http.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == policy()
    page = Page(answer.text)
    links = {attrs["href"] for tag, attrs in page.elements if tag == "a"}
    assert resource["links"]["report"] in links
    assert "/docs" in links
    for link in links:
        assert link is not None
        assert service.http.get(link).is_success, link
    assert f"curl {service.url}/v1/checkpoints --json @spec.json" in "".join(page.text)


def test_the_root_of_an_empty_store_says_so(start: Callable[..., Running]) -> None:
    assert "None yet." in start(ready=False).http.get("/").text


def test_name_description_and_labels_are_on_the_page_as_texts(service: Running) -> None:
    layer = {"type": "Linear", "in_features": 2, "out_features": 5}
    about = {"name": "<b>probe", "description": "Of 2 & 5.", "labels": {"team": "<i>x", "n": 3}}
    page, _ = report(service, {"architecture": layer, **about})
    text = "".join(page.text)
    assert "<b>probe" in text and "Of 2 & 5." in text and "team: <i>x, n: 3" in text
