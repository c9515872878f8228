"""The plan over HTTP, from which a client computes what the service would send."""

from __future__ import annotations

import gzip
import hashlib
import json

import numpy as np
import pytest

from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan
from tests.support.running import Running, mlp

PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture(scope="module")
def path(service: Running) -> str:
    link: str = service.issue(mlp(seed=31)).json()["links"]["plan"]
    return link


def test_the_id_is_the_sha256_of_the_plan(service: Running, path: str) -> None:
    answer = service.http.get(path, headers=PLAIN)
    assert answer.headers["content-type"] == "application/json"
    assert hashlib.sha256(answer.content).hexdigest() in path


def test_a_client_computes_the_file_from_the_plan(service: Running, path: str) -> None:
    plan = Plan.from_json(json.loads(service.http.get(path).content))
    file = layout(plan).files["model.safetensors"]
    made = np.empty(file.size_bytes, np.uint8)
    Evaluator(plan).read(file, 0, file.size_bytes, made)
    assert (
        made.tobytes()
        == service.http.get(path.replace("/plan", "/files/model.safetensors")).content
    )


def test_gzip_is_another_representation_with_a_tag_of_its_own(service: Running, path: str) -> None:
    plain = service.http.get(path, headers=PLAIN)
    with service.http.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as coded:
        raw = b"".join(coded.iter_raw())
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 2
    assert coded.headers["content-encoding"] == "gzip"
    assert coded.headers["etag"] != plain.headers["etag"]
    assert "accept-encoding" in coded.headers["vary"].lower()
    assert "accept-encoding" in plain.headers["vary"].lower()


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_conditions_and_ranges_hold_for_each_representation(
    service: Running, path: str, coding: str
) -> None:
    asked = {"Accept-Encoding": coding}
    head = service.http.head(path, headers=asked)
    tag = head.headers["etag"]
    assert service.http.get(path, headers={**asked, "If-None-Match": tag}).status_code == 304
    ranged = {**asked, "Range": "bytes=3-9", "If-Match": tag}
    with service.http.stream("GET", path, headers=ranged) as part:
        assert part.status_code == 206
        assert len(b"".join(part.iter_raw())) == 7
    assert int(head.headers["content-length"]) > 9


def test_a_plan_of_an_unknown_checkpoint_is_not_found(service: Running) -> None:
    answer = service.http.get(f"/v1/checkpoints/{'0' * 64}/plan")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
