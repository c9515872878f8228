"""POST, GET and the list of checkpoints, over a real server."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import safetensors.torch
import torch

from tests.support.running import Running, mlp
from tests.support.waiting import eventually

ENDLESS = mlp(hidden=1_000_000_000_000) | {"max_shard_size": "900TB"}  # 124 TB


def test_a_new_spec_is_201_with_its_location_and_a_known_one_is_200(service: Running) -> None:
    first, second = service.issue(mlp(201_200)), service.issue(mlp(201_200))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.headers["location"] == f"/v1/checkpoints/{first.json()['id']}"
    assert second.headers["location"] == first.headers["location"]
    assert second.json() == first.json()


def test_the_same_spec_written_otherwise_is_the_same_checkpoint(service: Running) -> None:
    written = json.dumps(mlp(2), indent=4).encode()
    other = json.dumps(dict(reversed(mlp(2).items()))).encode()
    headers = {"Content-Type": "application/json", "Prefer": "return=minimal"}
    ids = {
        service.http.post("/v1/checkpoints", content=body, headers=headers).json()["id"]
        for body in (written, other)
    }
    assert len(ids) == 1


def test_the_resource_says_what_was_issued(service: Running) -> None:
    resource = service.issue(mlp(42)).json()
    assert resource["seed"] == 42
    assert resource["generator"] == "philox-v1"
    assert resource["totals"]["parameters"] == 7946
    assert [tensor["name"] for tensor in resource["tensors"]] == [
        "hidden.weight",
        "hidden.bias",
        "output.weight",
        "output.bias",
    ]
    assert service.http.get(resource["links"]["self"]).json() == resource


def test_statistics_come_with_the_resource_by_default(service: Running) -> None:
    answer = service.http.post("/v1/checkpoints", json=mlp(201_203))
    assert answer.status_code == 201
    statistics = answer.json()["statistics"]
    assert set(statistics) == {"version", "tensors", "layers", "totals", "files"}
    assert statistics["tensors"]["hidden.weight"]["numel"] == 5120
    links = answer.json()["links"]
    assert service.http.get(links["statistics"]).json() == statistics
    assert service.http.get(links["self"]).json() == answer.json()


def test_statistics_agree_with_the_files_values(service: Running) -> None:
    answer = service.http.post("/v1/checkpoints", json=mlp(4)).json()
    (link,) = answer["links"]["files"].values()
    tensors = safetensors.torch.load(service.http.get(link).content)
    for name, tensor in tensors.items():
        found = answer["statistics"]["tensors"][name]
        assert found["mean"] == pytest.approx(tensor.double().mean().item(), rel=1e-6)
        assert found["std"] == pytest.approx(tensor.double().std(correction=0).item(), rel=1e-6)
        assert found["min"] == tensor.min().item()
        assert found["max"] == tensor.max().item()


def test_minimal_computes_no_statistics(start: Callable[..., Running]) -> None:
    service = start()
    answer = service.issue(mlp())
    assert answer.headers["preference-applied"] == "return=minimal"
    assert "statistics" not in answer.json()
    assert service.metric("seedpoint_generated_elements_total") == 0
    again = service.issue(mlp())
    assert again.status_code == 200
    assert again.headers["preference-applied"] == "return=minimal"


def test_respond_async_is_202_at_once_and_statistics_follow(service: Running) -> None:
    answer = service.issue(mlp(5, hidden=100_000), Prefer="respond-async")
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert "statistics" not in answer.json()
    assert _statistics(service, answer)["totals"]


def test_statistics_that_take_too_long_follow_at_their_link_with_progress(
    start: Callable[..., Running],
) -> None:
    service = start(statistics_wait_seconds=0.01, unasked_digest_bytes=0)
    with service.holding_engine():
        answer = service.http.post("/v1/checkpoints", json=mlp())
        assert answer.status_code == 202
        assert "statistics" not in answer.json()
        running = service.http.get(answer.json()["links"]["statistics"])
        assert running.status_code == 202
    assert running.headers["retry-after"] == "1"
    progress = running.json()["progress"]
    assert progress["bytes_total"] == answer.json()["totals"]["bytes"]
    assert 0 <= progress["bytes_done"] <= progress["bytes_total"]
    statistics = _statistics(service, answer)
    assert service.http.get(answer.headers["location"]).json()["statistics"] == statistics


def test_202_says_how_far_it_is(start: Callable[..., Running]) -> None:
    service = start(unasked_statistics_bytes=1 << 60)
    answer = service.issue(ENDLESS, Prefer="respond-async")
    assert answer.status_code == 202
    assert answer.headers["retry-after"] == "1"
    progress = answer.json()["progress"]
    assert progress["percent"] < 100
    assert progress["bytes_total"] == answer.json()["totals"]["bytes"]

    def later() -> Any:
        link = answer.json()["links"]["statistics"]
        got = service.http.get(link, headers={"Prefer": "respond-async"})
        assert got.headers["preference-applied"] == "respond-async"
        return got.json()["progress"]

    eventually(lambda: later()["bytes_done"] > progress["bytes_done"])
    further = later()
    assert further["bytes_per_second"] > 0
    assert further["remaining_seconds"] > 0


@pytest.mark.parametrize("preferred", ["wait=60", "respond-async, wait=60"])
def test_an_answer_waits_as_long_as_the_client_prefers(
    start: Callable[..., Running], preferred: str
) -> None:
    service = start(statistics_wait_seconds=0)
    answer = service.issue(mlp(hidden=300_000), Prefer=preferred)
    assert answer.status_code == 201
    assert answer.headers["preference-applied"] == preferred
    assert answer.json()["statistics"]


def _statistics(service: Running, issued: httpx.Response) -> Any:
    answer = service.http.get(issued.json()["links"]["statistics"], headers={"Prefer": "wait=60"})
    assert answer.status_code == 200
    return answer.json()


def test_statistics_are_computed_once(start: Callable[..., Running]) -> None:
    service = start()
    for _ in range(3):
        assert service.http.post("/v1/checkpoints", json=mlp()).is_success
    assert service.metric("seedpoint_generated_elements_total") == 7946


# --- as octets -----------------------------------------------------------------


def test_octets_are_the_files_bytes(service: Running) -> None:
    resource = service.issue(mlp(6)).json()
    posted = service.issue(mlp(6), Accept="application/octet-stream")
    assert posted.status_code == 200
    assert posted.headers["content-type"] == "application/octet-stream"
    file = service.http.get(resource["links"]["files"]["model.safetensors"])
    assert posted.content == file.content
    assert posted.headers["etag"] == file.headers["etag"]
    assert posted.headers["content-location"] == file.request.url.path


def test_octets_load_into_the_module(service: Running) -> None:
    posted = service.issue(mlp(7), Accept="application/octet-stream")
    module = torch.nn.Sequential()
    module.add_module("hidden", torch.nn.Linear(20, 256))
    module.add_module("activation", torch.nn.ReLU())
    module.add_module("output", torch.nn.Linear(256, 10))
    module.load_state_dict(safetensors.torch.load(posted.content), strict=True)


def test_a_checkpoint_in_shards_is_not_acceptable_as_octets(service: Running) -> None:
    spec = mlp(8) | {"max_shard_size": 20_480}
    answer = service.issue(spec, Accept="application/octet-stream")
    assert answer.status_code == 406
    assert "model-00001-of-00002.safetensors" in answer.json()["detail"]
    assert service.issue(spec, Accept="application/octet-stream, */*;q=0.1").status_code == 406


def test_the_client_gets_what_it_likes_best(service: Running) -> None:
    accept = "application/json;q=0.5, application/octet-stream"
    assert service.issue(mlp(9), Accept=accept).content[8:9] == b"{"
    accept = "application/json, application/octet-stream;q=0.5"
    assert service.issue(mlp(9), Accept=accept).json()["id"]


# --- persistence -----------------------------------------------------------------


def test_a_restarted_service_has_what_was_issued(start: Callable[..., Running]) -> None:
    before = start()
    issued = before.http.post("/v1/checkpoints", json=mlp()).json()
    file = before.http.get(issued["links"]["files"]["model.safetensors"])
    before.stop()
    after = start()
    assert after.http.get(issued["links"]["self"]).json() == issued
    again = after.http.get(file.request.url.path)
    assert again.content == file.content
    assert again.headers["etag"] == file.headers["etag"]
    assert after.http.post("/v1/checkpoints", json=mlp()).status_code == 200


def test_two_services_on_one_store_see_each_others_checkpoints(
    start: Callable[..., Running],
) -> None:
    one, other = start(), start()
    link = one.issue(mlp()).headers["location"]
    assert other.http.get(link).json()["id"] == link.rpartition("/")[2]
    assert other.issue(mlp()).status_code == 200


def test_a_corrupted_plan_is_a_failure_not_absence(start: Callable[..., Running]) -> None:
    service = start(cached_tensors=1)
    id_ = service.issue(mlp(1)).json()["id"]
    service.issue(mlp(2))  # Drives the first out of memory.
    (path,) = (service.state.settings.store / "plans").glob(f"*/{id_}.json")
    path.write_bytes(path.read_bytes().replace(b'"1"', b'"2"'))
    answer = service.http.get(f"/v1/checkpoints/{id_}")
    assert answer.status_code == 500
    assert answer.json()["type"].endswith("corrupt-store")
    assert str(path) not in answer.text


# --- the list --------------------------------------------------------------------


def test_the_list_is_paged_newest_first(start: Callable[..., Running]) -> None:
    service = start()
    ids = []
    for seed in range(5):
        ids.append(service.issue(mlp(seed)).json()["id"])
        (plan,) = service.state.settings.store.glob(f"plans/*/{ids[-1]}.json")
        os.utime(plan, (1e9 + seed,) * 2)
    found: list[str] = []
    link: str | None = "/v1/checkpoints?limit=2"
    while link:
        page = service.http.get(link).json()
        assert len(page["checkpoints"]) <= 2
        found += [item["id"] for item in page["checkpoints"]]
        link = page["links"].get("next")
    assert found == ids[::-1]
    first = service.http.get("/v1/checkpoints").json()["checkpoints"][0]
    assert service.http.get(first["links"]["self"]).json()["id"] == ids[-1]


# --- concurrency -----------------------------------------------------------------


def test_many_clients_with_one_spec_are_planned_once(start: Callable[..., Running]) -> None:
    service = start()
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: service.issue(mlp()), range(8)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    text = service.http.get("/metrics").text
    assert 'seedpoint_plans_total{outcome="new"} 1.0' in text
    assert 'outcome="known"' not in text


def test_platform_bound_checkpoints_are_kept_and_served(start: Callable[..., Running]) -> None:
    service = start()
    spec = mlp(11)
    spec["init"]["generator"] = "torch"
    resource = service.http.post("/v1/checkpoints", json=spec).json()
    assert resource["reproducibility"] == "platform"
    link = resource["links"]["files"]["model.safetensors"]
    served = safetensors.torch.load(service.http.get(link).content)
    torch.manual_seed(11)
    hidden, output = torch.nn.Linear(20, 256), torch.nn.Linear(256, 10)
    assert torch.equal(served["hidden.weight"], hidden.weight)
    assert torch.equal(served["output.bias"], output.bias)
    service.stop()
    assert start().http.get(link).is_success


def test_a_platform_bound_checkpoint_that_is_too_large_is_a_fault_of_its_generator(
    start: Callable[..., Running],
) -> None:
    service = start(max_materialized_bytes=1000)
    spec = mlp()
    spec["init"]["generator"] = "torch"
    answer = service.issue(spec)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"] == "init.generator"


def test_a_host_that_cannot_make_a_platform_bound_checkpoint_answers_409(
    start: Callable[..., Running],
) -> None:
    service = start()
    spec = mlp()
    spec["init"]["generator"] = "torch"
    store = service.state.store
    canonical, _, description = store.plan(service.issue(spec).json()["id"]).partition(b"\n")
    elsewhere = re.sub(rb'"torch":"[^"]+"', b'"torch":"1.0.0"', canonical)
    id_ = hashlib.sha256(elsewhere).hexdigest()
    # As a service on another host puts it into the store that they share.
    store.put_plan(id_, elsewhere + b"\n" + description, {})
    answer = service.http.get(f"/v1/checkpoints/{id_}/files/model.safetensors")
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("platform-mismatch")
    assert "1.0.0" in answer.json()["detail"]
