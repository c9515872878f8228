"""The OpenAPI document against the service: no 5xx, and every answer as documented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

if TYPE_CHECKING:
    from tests.support.running import Running

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


@pytest.fixture(scope="session")
def api(service: Running) -> schemathesis.BaseSchema:
    service.issue({"architecture": {"type": "Linear", "in_features": 2, "out_features": 2}})
    return schemathesis.openapi.from_url(f"{service.url}/openapi.json")


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as open_session:
        yield open_session


@pytest.mark.timeout(900)
def test_every_answer_is_as_documented(
    api: schemathesis.BaseSchema, session: requests.Session
) -> None:
    for result in api.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=10, suppress_health_check=list(HealthCheck))
        def check(case: Case) -> None:
            case.call_and_validate(checks=CHECKS, session=session, timeout=60)

        check()


@pytest.mark.timeout(900)
def test_every_answer_about_what_there_is_is_as_documented(
    service: Running, api: schemathesis.BaseSchema, session: requests.Session
) -> None:
    known = _known(service)
    for result in api.get_all_operations():
        operation = result.ok()
        if not any(parameter.name in known for parameter in operation.path_parameters):
            continue

        @given(case=operation.as_strategy(), data=st.data())
        @settings(max_examples=15, suppress_health_check=list(HealthCheck))
        def check(case: Case, data: st.DataObject) -> None:
            for name in set(case.path_parameters or {}) & set(known):
                case.path_parameters[name] = data.draw(st.sampled_from(known[name]))
            case.call_and_validate(checks=CHECKS, session=session, timeout=60)

        check()


def _known(service: Running) -> dict[str, list[str]]:
    """Values of path parameters that name something: drawn at random, all of them are 404."""
    linear = {"type": "Linear", "in_features": 2, "out_features": 3}
    specs = (
        {"architecture": linear},
        {"architecture": {"type": "Sequential", "layers": [linear] * 2}, "max_shard_size": 40},
        {"architecture": linear, "init": {"generator": "torch"}},
    )
    issued = [service.issue(spec).json() for spec in specs]
    return {
        "id": [checkpoint["id"] for checkpoint in issued],
        "file": sorted({name for checkpoint in issued for name in checkpoint["links"]["files"]}),
        "name": ["weight", "0.weight", "1.bias", "llama-tiny"],
        "repo": ["zoo/llama-tiny", f"checkpoints/{issued[0]['id'][:12]}"],
        "revision": ["main", "seed-42"],
        "path": ["config.json", "model.safetensors"],
    }
