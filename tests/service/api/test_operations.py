"""What operators and readers of the documentation see."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable

import pytest
import structlog
from jsonschema import Draft202012Validator

from seedpoint.models import architectures, initializers, presets
from seedpoint.service.errors import StoreFull
from seedpoint.service.settings import Settings
from tests.support.places import EXAMPLES
from tests.support.running import Running, mlp
from tests.support.waiting import eventually


def test_health_answers_before_readiness(start: Callable[..., Running]) -> None:
    service = start(ready=False)
    assert service.http.get("/healthz").json() == {"status": "ok"}
    ready = service.http.get("/readyz")
    if ready.status_code == 503:
        assert ready.json()["missing"]
        assert ready.headers["retry-after"]


def test_readiness_needs_workers_kernels_and_a_store(service: Running) -> None:
    assert service.http.get("/readyz").json() == {"status": "ready"}


def test_a_store_that_cannot_be_written_is_not_ready(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start(ready=False)

    def full() -> None:
        raise StoreFull("the store cannot be written: No space left on device")

    monkeypatch.setattr(service.state.store, "check_writable", full)
    answer = service.http.get("/readyz")
    assert answer.status_code == 503
    assert "the store cannot be written: No space left on device" in answer.json()["missing"]


def test_the_version_names_what_bytes_depend_on(service: Running) -> None:
    version = service.http.get("/v1/version").json()
    assert version["stream"] == "philox-v1"
    assert {"seedpoint", "torch", "numba", "numpy", "python", "device"} <= set(version)


def test_metrics_count_by_template_and_not_by_path(service: Running) -> None:
    link = service.issue(mlp(1)).headers["location"]
    service.http.get(link)
    service.http.get("/v1/checkpoints/unknown")
    service.http.get("/made/up/path")

    def counts(route: str, status: int) -> bool:
        text = service.http.get("/metrics").text
        return f'requests_total{{method="GET",route="{route}",status="{status}"}}' in text

    # A request is counted after its last byte is sent.
    eventually(lambda: counts("/v1/checkpoints/{id}", 200))
    eventually(lambda: counts("/v1/checkpoints/{id}", 404))
    eventually(lambda: counts("(none)", 404))
    text = service.http.get("/metrics").text
    assert link not in text
    assert "/made/up" not in text


def test_the_catalogues_hold_everything_a_spec_can_name(service: Running) -> None:
    layers = service.http.get("/v1/architectures").json()["architectures"]
    assert len(layers) == len(architectures.catalogue())
    found = service.http.get("/v1/initializers").json()["initializers"]
    assert {item["type"] for item in found} == set(initializers.CATALOGUE)


def test_every_entry_of_a_catalogue_has_an_example_of_its_schema_and_a_spec_that_is_issued(
    service: Running,
) -> None:
    entries = [
        *service.http.get("/v1/architectures").json()["architectures"],
        *service.http.get("/v1/initializers").json()["initializers"],
        *service.http.get("/v1/initializers").json()["transforms"],
    ]
    for entry in entries:
        Draft202012Validator(entry["schema"]).validate(entry["example"])
        if entry.get("extra") != "timm":  # Another test's: workers may be without it.
            answer = service.issue(entry["spec"])
            assert answer.status_code in (200, 201), (entry["type"], answer.text)


def test_the_schema_of_a_spec_takes_specs_with_names_for_people(service: Running) -> None:
    schema = service.http.get("/v1/spec/schema").json()
    Draft202012Validator.check_schema(schema)
    layer = {"type": "Linear", "in_features": 2, "out_features": 2}
    about = {"name": "a probe", "labels": {"team": "vision"}}
    spec = {"$schema": "https://example.org/schema", "architecture": layer, **about}
    Draft202012Validator(schema).validate(spec)
    assert not Draft202012Validator(schema).is_valid({**spec, "seed": 3})
    issued = service.issue(spec).json()
    assert {key: issued[key] for key in about} == about
    assert service.http.get(issued["links"]["self"]).json()["labels"] == about["labels"]


def test_the_list_shows_the_names_that_the_first_issue_gave(service: Running) -> None:
    layer = {"type": "Linear", "in_features": 2, "out_features": 11}
    about = {"name": "<i>probe", "description": "Of eleven.", "labels": {"team": "vision", "n": 3}}
    issued = service.issue({"architecture": layer, **about}).json()
    again = service.issue({"architecture": layer, "name": "another"}).json()
    assert (again["id"], again["name"]) == (issued["id"], about["name"])
    unnamed = service.issue({"architecture": layer | {"bias": False}}).json()
    listed = service.http.get("/v1/checkpoints", params={"limit": 2}).json()["checkpoints"]
    found = {item["id"]: item for item in listed}
    assert {key: found[issued["id"]].get(key) for key in about} == about
    assert set(found[unnamed["id"]]) == {"id", "created", "links"}
    page = service.http.get("/").text
    assert "&lt;i&gt;probe" in page and about["name"] not in page


def test_every_preset_has_an_example_of_its_schema_and_a_spec(service: Running) -> None:
    answer = service.http.get("/v1/presets")
    assert len(answer.content) < 150_000
    for entry in answer.json()["presets"]:
        schema = Draft202012Validator(entry["schema"])
        schema.validate(entry["example"])
        schema.validate(entry["example"] | {"overrides": {"vocab_size": 8}})
        assert not schema.is_valid(entry["example"] | {"name": "other"})
        assert entry["spec"] == {"architecture": entry["example"]} == presets.spec(entry["name"])


def test_the_docs_ask_no_other_host(service: Running) -> None:
    page = service.http.get("/docs")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert links
    for link in links:
        assert link.startswith("/")
        assert service.http.get(link).status_code == 200


def test_openapi_shows_the_spec_with_examples_that_are_issued(service: Running) -> None:
    document = service.http.get("/openapi.json").json()
    post = document["paths"]["/v1/checkpoints"]["post"]
    body = post["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/Spec"}
    assert "Linear" in json.dumps(document["components"]["schemas"])
    assert set(body["examples"]) == {path.stem for path in EXAMPLES.glob("*.json")}
    for name, example in body["examples"].items():
        answer = service.issue(example["value"])
        assert answer.is_success, (name, answer.text)


def test_openapi_has_every_schema_that_it_refers_to(service: Running) -> None:
    text = service.http.get("/openapi.json").text
    known = set(json.loads(text)["components"]["schemas"])
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) <= known


def test_openapi_documents_a_problem_for_every_operation(service: Running) -> None:
    document = service.http.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/v1") and path != "/v1/version":
                content = operation["responses"]["default"]["content"]
                assert "application/problem+json" in content, (method, path)
            assert operation["description"], (method, path)


def test_every_setting_is_described_and_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
    monkeypatch.setenv("SEEDPOINT_BUILD_TIMEOUT_SECONDS", "2.5")
    assert Settings().build_timeout_seconds == 2.5


def test_a_request_is_one_log_line_without_credentials(service: Running) -> None:
    with structlog.testing.capture_logs() as lines:
        service.http.get("/v1/version?token=hunter2", headers={"Authorization": "Bearer hunter2"})
        eventually(lambda: any(line["event"] == "request" for line in lines))
    line = next(line for line in lines if line["event"] == "request")
    assert line["path"] == "/v1/version"
    assert line["status"] == 200
    assert "hunter2" not in str(lines)


def test_json_logs_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    from seedpoint.service.server import logs

    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    try:
        logs.configure("json", "info")
        logging.getLogger("uvicorn.error").warning("over %d", 9000)
        structlog.get_logger("seedpoint.test").info("hello", answer=42)
    finally:
        structlog.configure(**before)
        root.handlers[:] = handlers
        root.setLevel(level)
    foreign, own = map(json.loads, capsys.readouterr().err.splitlines())
    assert (foreign["event"], foreign["level"]) == ("over 9000", "warning")
    assert foreign["logger"] == "uvicorn"  # Not `uvicorn.error`, which is no error.
    assert (own["event"], own["answer"]) == ("hello", 42)


def test_every_operation_says_what_it_does_in_a_line(service: Running) -> None:
    paths = service.http.get("/openapi.json").json()["paths"]
    found = [
        operation["summary"] for operations in paths.values() for operation in operations.values()
    ]
    assert "Issue the checkpoint of a spec" in found
    assert [line for line in found if " " not in line or len(line) > 100] == []


def test_the_log_has_no_control_characters_of_a_path(service: Running) -> None:
    with structlog.testing.capture_logs() as lines:
        service.http.get("/zoo/x%1b%5b31mRED%00%0a")
        service.http.get("/zoo/é")
        eventually(lambda: sum(line["event"] == "request" for line in lines) == 2)
    paths = [line["path"] for line in lines if line["event"] == "request"]
    assert paths == [repr("/zoo/x\x1b[31mRED\x00\n"), "/zoo/é"]
