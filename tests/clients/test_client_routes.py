"""Routes by either client: what it asks, with which headers, and what it makes of the answers."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from safetensors.torch import load
from seedpoint_client import AsyncClient, Checkpoint, Client, DigestMismatch, Problem

from seedpoint import Checkpoint as LocalCheckpoint
from tests.support.places import EXAMPLES, ROOT
from tests.support.running import Running, mlp

SPEC = json.loads((EXAMPLES / "mlp.json").read_text())
Call = Callable[..., Any]


def by_client(url: str, method: str, *arguments: Any, settings: Any = None, **options: Any) -> Any:
    with Client(url, **settings or {}) as client:
        result = getattr(client, method)(*arguments, **options)
        return list(result) if method == "list" else result


def by_async_client(
    url: str, method: str, *arguments: Any, settings: Any = None, **options: Any
) -> Any:
    async def run() -> Any:
        async with AsyncClient(url, **settings or {}) as client:
            result = getattr(client, method)(*arguments, **options)
            return [each async for each in result] if method == "list" else await result

    return anyio.run(run)


@pytest.fixture(params=[by_client, by_async_client], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """A call of a client's method: call(url, method, *arguments, settings=, **options)."""
    function: Call = request.param
    return function


def test_the_plan_is_that_of_the_spec(service: Running, call: Call) -> None:
    checkpoint = call(service.url, "issue", SPEC)
    plan = call(service.url, "plan", checkpoint)
    assert plan == LocalCheckpoint.from_spec(SPEC).plan.canonical
    assert hashlib.sha256(plan).hexdigest() == checkpoint.id
    assert call(service.url, "plan", checkpoint.id) == plan


def test_a_plan_that_is_not_the_ids_is_refused(call: Call) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=b"{}"))
    digest = hashlib.sha256(b"{}").hexdigest()
    with pytest.raises(DigestMismatch, match=f"SHA-256 is {digest}, not the id 0123"):
        call("http://seedpoint", "plan", "0123", settings={"transport": transport})


@pytest.mark.parametrize("first_seed", [1000, 2000])
def test_the_list_goes_over_all_pages(service: Running, call: Call, first_seed: int) -> None:
    seeds = range(first_seed, first_seed + 5)
    ids = [service.issue(mlp(seed, hidden=8)).json()["id"] for seed in seeds]
    whole = [each["id"] for each in call(service.url, "list")]
    assert set(ids) <= set(whole)
    listed = call(service.url, "list", page_size=2)
    assert [each["id"] for each in listed] == whole
    assert {"id", "created", "links"} == set(listed[0])


def test_a_list_that_is_left_early_asks_for_no_further_page(service: Running) -> None:
    requests = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"checkpoints": [{"id": "7"}], "next": "more"})

    with Client("http://seedpoint", transport=httpx.MockTransport(handler)) as client:
        assert next(client.list())["id"] == "7"
    assert len(requests) == 1


def test_an_id_stands_for_its_checkpoint(service: Running, call: Call) -> None:
    checkpoint = call(service.url, "issue", SPEC)
    assert call(service.url, "statistics", checkpoint.id) == call(
        service.url, "statistics", checkpoint
    )
    file = "model.safetensors"
    assert call(service.url, "sha256", checkpoint.id, file) == call(
        service.url, "sha256", checkpoint, file
    )
    assert call(service.url, "tensor", checkpoint.id, "hidden.bias") == call(
        service.url, "tensor", checkpoint, "hidden.bias"
    )


@pytest.mark.parametrize(
    ("index", "text"),
    [
        ((slice(2, 9, 3), slice(None)), "2:9:3,:"),
        ((-1, slice(None, 4)), "-1,:4"),
        (slice(3, None), "3:"),
        (5, "5"),
        ((), ""),
        ("::2", "::2"),
    ],
)
def test_a_slice_is_text_or_an_index(service: Running, call: Call, index: Any, text: str) -> None:
    checkpoint = call(service.url, "issue", SPEC)
    whole = load(call(service.url, "tensor", checkpoint, "hidden.weight"))["hidden.weight"]
    part = call(service.url, "tensor", checkpoint, "hidden.weight", index)
    assert part == call(service.url, "tensor", checkpoint, "hidden.weight", text)
    if not isinstance(index, str):
        assert load(part)["hidden.weight"].equal(whole[index])


def test_an_index_of_another_kind_is_refused(call: Call) -> None:
    with pytest.raises(TypeError, match=r"integers and slices, not True"):
        call("http://seedpoint", "tensor", "7", "weight", True)


def test_headers_and_auth_go_with_every_request(call: Call) -> None:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, json={"id": "7"})

    settings = {
        "headers": {"X-Team": "vision"},
        "auth": ("ann", "secret"),
        "transport": httpx.MockTransport(handler),
    }
    call("http://seedpoint", "issue", SPEC, settings=settings)
    call("http://seedpoint", "get", "7", settings=settings)
    basic = "Basic " + base64.b64encode(b"ann:secret").decode()
    assert [(each["X-Team"], each["Authorization"]) for each in seen] == [("vision", basic)] * 2


@pytest.mark.parametrize(
    ("settings", "read"),
    [
        ({}, 60),
        ({"timeout": 5}, 5),
        ({"timeout": httpx.Timeout(9, read=3)}, 3),
        ({"timeout": None}, None),
    ],
)
def test_the_timeout_is_the_callers(call: Call, settings: Any, read: float | None) -> None:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((request.extensions["timeout"]["read"], request.headers.get("Prefer")))
        return httpx.Response(200, json={"id": "7"})

    given = {**settings, "transport": httpx.MockTransport(handler)}
    call("http://seedpoint", "statistics", "7", settings=given)
    # A request never waits as long for a result as the client does for an answer.
    wait = 20 if read is None else min(20, int(read / 2))
    assert seen == [(read, f"wait={wait}")]


def test_the_older_name_of_the_timeout_still_works() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"id": str(request.extensions["timeout"]["read"])})

    transport = httpx.MockTransport(handler)
    with Client("http://seedpoint", timeout_seconds=7, transport=transport) as client:
        assert client.get("x").id == "7"


def test_a_service_under_a_prefix_is_asked_there(service: Running, call: Call) -> None:
    """The proxy removes the prefix, as nginx does; links have it."""

    def proxy(request: httpx.Request) -> httpx.Response:
        prefix, path = request.url.raw_path.decode()[:6], request.url.raw_path.decode()[6:]
        assert prefix == "/seeds"
        assert path.startswith("/v1/")
        headers = {"X-Forwarded-Prefix": prefix, "Content-Type": "application/json"}
        content = {"content": request.content} if request.content else {}
        answer = service.http.request(request.method, path, headers=headers, **content)
        kept = {k: v for k, v in answer.headers.items() if k != "content-encoding"}
        return httpx.Response(answer.status_code, headers=kept, content=answer.content)

    url, settings = "http://proxy/seeds", {"transport": httpx.MockTransport(proxy)}
    checkpoint = call(url, "issue", SPEC, settings=settings)
    assert checkpoint.files["model.safetensors"].startswith("/seeds/v1/")
    assert call(url, "plan", checkpoint, settings=settings)
    assert call(url, "plan", checkpoint.id, settings=settings)
    assert len(call(url, "sha256", checkpoint, "model.safetensors", settings=settings)) == 64
    assert call(url, "list", settings=settings)


def test_a_name_of_any_characters_is_one_segment(service: Running, call: Call) -> None:
    entries = [{"name": "a/b?c#d é", "shape": [2]}]
    spec = {
        "architecture": {"type": "tensors", "tensors": entries},
        "init": {"rules": [{"initializer": {"type": "ones"}}]},
    }
    checkpoint = call(service.url, "issue", spec)
    name = checkpoint.resource["tensors"][0]["name"]
    assert load(call(service.url, "tensor", checkpoint, name))[name].tolist() == [1, 1]


def test_a_checkpoint_of_the_client_gives_its_plan(service: Running) -> None:
    with Client(service.url) as client:
        checkpoint = client.issue(SPEC)
        assert checkpoint.plan() == client.plan(checkpoint)
        copy = pickle.loads(pickle.dumps(checkpoint))
    assert copy == checkpoint
    with pytest.raises(ValueError, match="has no client to ask"):
        copy.plan()
    assert Checkpoint("0", {}) == Checkpoint("0", {})  # type: ignore[typeddict-item]


def test_a_problem_survives_pickling(service: Running) -> None:
    with Client(service.url) as client, pytest.raises(Problem) as caught:
        client.issue({"architecture": {"type": "Linea"}})
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.status, copy.errors, str(copy)) == (422, caught.value.errors, str(caught.value))


def test_both_clients_get_ready(service: Running, call: Call) -> None:
    assert call(service.url, "wait_until_ready") is None
    transport = httpx.MockTransport(lambda request: httpx.Response(503))
    with pytest.raises(TimeoutError, match="http://seedpoint is not ready after 0 s"):
        call(
            "http://seedpoint",
            "wait_until_ready",
            timeout_seconds=0,
            settings={"transport": transport},
        )


def test_the_import_is_light() -> None:
    """A client needs httpx only, and a plugin of pytest not even that before it is used."""
    code = (
        "import sys, seedpoint_client, seedpoint_client.pytest_plugin\n"
        "assert 'httpx' not in sys.modules\n"
        "from seedpoint_client import *\n"
        "loaded = {'torch', 'numpy', 'safetensors', 'seedpoint', 'pydantic'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / "client", check=True)
