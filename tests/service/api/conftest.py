"""Fixtures of the routes: a small Hub, and a file of a few kilobytes."""

from __future__ import annotations

import pytest

from seedpoint.service.checkpoints import hub_revisions
from tests.support.running import Running, mlp
from tests.support.zoo import Zoo


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> Zoo:
    found = Zoo()
    monkeypatch.setattr(hub_revisions, "presets", found)
    return found


@pytest.fixture(scope="module")
def file(service: Running) -> str:
    """The path of a file of about 33 kB."""
    link: str = service.issue(mlp(42)).json()["links"]["files"]["model.safetensors"]
    return link


@pytest.fixture(scope="module")
def content(service: Running, file: str) -> bytes:
    return service.http.get(file).content
