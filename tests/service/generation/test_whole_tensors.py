"""Orthogonal and sparse tensors over HTTP: like any other, and no burden to others."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from seedpoint.models.files.layout import Layout, layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.generation.whole_tensors import Raw, WholeTensor
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.service import state
from seedpoint.service.generation import whole_tensors as wholes
from seedpoint.service.generation.whole_tensor_task import WholeTensorWorkers
from seedpoint.service.settings import Settings
from seedpoint.service.workers.errors import WorkerDied
from seedpoint.service.workers.pool import Pool
from tests.support.problems import assert_problem
from tests.support.running import Running, mlp, run_service
from tests.support.waiting import eventually

Start = Callable[..., Running]
BIG = 2_000_000


def orthogonal(seed: int = 0, rows: int = 300, columns: int = 200) -> dict[str, Any]:
    layer = {"type": "Linear", "in_features": columns, "out_features": rows}
    rule = {"match": {"parameter": "weight"}, "initializer": {"type": "orthogonal"}}
    return {"architecture": layer, "init": {"seed": seed, "rules": [rule]}}


def sparse(seed: int = 0) -> dict[str, Any]:
    spec = orthogonal(seed)
    spec["init"]["rules"][0]["initializer"] = {"type": "sparse", "sparsity": 0.3}
    return spec


def link(service: Running, spec: dict[str, Any]) -> str:
    """Where the file of `spec` is."""
    return str(service.issue(spec).json()["links"]["files"]["model.safetensors"])


def expected(spec: dict[str, Any]) -> bytes:
    """The file, by no service."""
    planned = make_plan(parse_spec(spec))
    evaluator = Evaluator(planned.plan, planned.blobs)
    laid: Layout = layout(planned.plan)
    file = laid.files["model.safetensors"]
    out = np.empty(file.size_bytes, np.uint8)
    evaluator.read(file, 0, file.size_bytes, out)
    return out.tobytes()


def made(service: Running) -> float:
    """How many wholes the workers of `service` were asked for."""
    lines = service.http.get("/metrics").text.splitlines()
    return sum(
        float(line.split()[1]) for line in lines if line.startswith("seedpoint_wholes_total")
    )


def stored(service: Running) -> list[Path]:
    return list(service.state.settings.store.glob("whole_tensors/*/*.bin"))


def workers_of(service: Running) -> Pool[WholeTensor, Raw | None]:
    """The workers that make wholes."""
    whole_tensors = service.state.engine.whole_tensors
    assert whole_tensors is not None
    return whole_tensors.pool


def waiting_for(service: Running) -> float:
    """How many wholes are being made or wait to be."""
    return service.metric("seedpoint_wholes_waiting")


@pytest.fixture(scope="module", autouse=True)
def eager() -> Iterator[None]:
    """Workers that are not behind others: on a machine whose cores are busy they hardly run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "WholeTensorWorkers", partial(WholeTensorWorkers, niceness=0))
        yield


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is small: every whole is made by a worker."""
    monkeypatch.setattr(wholes, "SMALL_OPERATIONS", 0)


@pytest.fixture(scope="module")
def kept(eager: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service for tests each of which has seeds of its own."""
    running = run_service(Settings(store=tmp_path_factory.mktemp("store"), build_workers=1))
    yield running
    running.stop()


@pytest.fixture
def stopped() -> Iterator[Callable[[Running], list[int]]]:
    """Stops the workers that make wholes, which one request starts, until the test is over."""
    stopped: list[int] = []

    def stop(service: Running) -> list[int]:
        service.http.get(link(service, orthogonal(999)))
        workers = workers_of(service)
        eventually(lambda: len(workers.pids) == wholes.WORKERS)
        for pid in workers.pids:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
        return workers.pids

    yield stop
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


# --- the same bytes ----------------------------------------------------------------


@pytest.mark.parametrize("spec", [orthogonal(1), sparse(1)], ids=["orthogonal", "sparse"])
@pytest.mark.usefixtures("large")
def test_a_file_is_what_it_is_without_a_service(kept: Running, spec: dict[str, Any]) -> None:
    service, before = kept, made(kept)
    assert service.http.get(link(service, spec)).content == expected(spec)
    assert made(service) == before + 1
    assert stored(service)


@pytest.mark.parametrize("spec", [orthogonal(2), sparse(2)], ids=["orthogonal", "sparse"])
@pytest.mark.usefixtures("large")
def test_a_range_inside_is_that_slice_of_the_whole(kept: Running, spec: dict[str, Any]) -> None:
    service, before, whole = kept, made(kept), expected(spec)
    url = link(service, spec)
    for first, last in ((len(whole) - 7, len(whole) - 1), (100_001, 140_002), (0, 1_000)):
        answer = service.http.get(url, headers={"Range": f"bytes={first}-{last}"})
        assert answer.status_code == 206
        assert answer.content == whole[first : last + 1]
    assert made(service) == before + 1


@pytest.mark.usefixtures("large")
def test_slices_and_numbers_are_of_the_same_whole(kept: Running) -> None:
    service, before = kept, made(kept)
    whole = safetensors.numpy.load(expected(orthogonal(16)))["weight"]
    tensor = service.issue(orthogonal(16)).json()["links"]["self"] + "/tensors/weight"
    answer = service.http.get(tensor, params={"slice": "10:20,::3"})
    assert (safetensors.numpy.load(answer.content)["weight"] == whole[10:20, ::3]).all()
    answer = service.http.get(
        tensor, params={"slice": "7,:5"}, headers={"Accept": "application/json"}
    )
    assert answer.json()["values"] == whole[7, :5].tolist()
    assert made(service) == before + 1


@pytest.mark.usefixtures("large")
def test_statistics_and_multipart_take_the_same_whole(kept: Running) -> None:
    service, before = kept, made(kept)
    answer = service.http.post("/v1/checkpoints", json=orthogonal(17))
    found = answer.json()["statistics"]["tensors"]["weight"]
    assert found["pass"] is True
    answer = service.http.post(
        "/v1/checkpoints", json=orthogonal(17), headers={"Accept": "multipart/mixed"}
    )
    assert expected(orthogonal(17)) in answer.content
    assert made(service) == before + 1


@pytest.mark.usefixtures("large")
def test_parts_of_a_split_are_made_when_a_range_touches_them(kept: Running) -> None:
    service, before = kept, made(kept)
    spec = orthogonal(18)
    spec["init"]["rules"][0]["splits"] = {"axis": 0, "parts": [{"size": 100}, {"size": 200}]}
    whole, url = expected(spec), link(service, spec)
    end = len(whole)
    tail = service.http.get(url, headers={"Range": f"bytes={end - 1000}-"})
    assert tail.content == whole[-1000:]
    assert made(service) == before + 1
    assert service.http.get(url).content == whole
    assert made(service) == before + 2


# --- once ----------------------------------------------------------------------------


@pytest.mark.usefixtures("large")
def test_what_many_ask_for_at_once_is_computed_once(start: Start) -> None:
    service = start()
    url = link(service, orthogonal())
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: service.http.get(url).content, range(8)))
    assert set(answers) == {expected(orthogonal())}
    assert made(service) == 1


@pytest.mark.usefixtures("large")
def test_a_restarted_service_takes_what_was_stored(start: Start) -> None:
    first = start()
    content = first.http.get(link(first, orthogonal())).content
    second = start()
    assert second.http.get(link(second, orthogonal())).content == content
    assert made(second) == 0


@pytest.mark.usefixtures("large")
def test_a_damaged_file_is_computed_again(start: Start) -> None:
    first = start()
    content = first.http.get(link(first, orthogonal())).content
    (path,) = stored(first)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    second = start()
    assert second.http.get(link(second, orthogonal())).content == content
    assert made(second) == 1


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("put", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_costs_nobody_an_answer(start: Start, put: Callable[[Path], None]) -> None:
    first = start()
    content = first.http.get(link(first, orthogonal())).content
    (path,) = stored(first)
    path.unlink()
    put(path)
    second = start()
    assert second.http.get(link(second, orthogonal())).content == content
    assert made(second) == 1


@pytest.mark.usefixtures("large")
def test_a_place_that_stays_taken_costs_nobody_an_answer(start: Start) -> None:
    first = start()
    content = first.http.get(link(first, orthogonal())).content
    (path,) = stored(first)
    path.unlink()
    path.mkdir()
    lock = path.parent.with_name(f".{path.name[:2]}.lock")
    lock.unlink()
    lock.mkdir()  # Nothing can be made there now.
    second = start()
    for _ in range(2):
        assert second.http.get(link(second, orthogonal())).content == content
    assert made(second) == 1


@pytest.mark.usefixtures("large")
def test_files_stay_within_their_limit(start: Start) -> None:
    service = start(spool_bytes=3 * 250_000)
    for seed in range(6):
        assert service.http.get(link(service, orthogonal(seed))).content == expected(
            orthogonal(seed)
        )
        assert sum(path.stat().st_size for path in stored(service)) <= 3 * 250_000
    assert len(stored(service)) == 3


@pytest.mark.usefixtures("large")
def test_what_has_no_room_on_disk_is_kept_in_memory(start: Start) -> None:
    service = start(spool_bytes=1000)
    url = link(service, orthogonal())
    for _ in range(2):
        assert service.http.get(url).content == expected(orthogonal())
    assert made(service) == 1
    assert stored(service) == []


# --- others ---------------------------------------------------------------------------


@pytest.mark.usefixtures("large")
def test_others_are_served_while_wholes_are_computed(
    start: Start, stopped: Callable[[Running], list[int]]
) -> None:
    service = start(threads=1)
    url, other = link(service, orthogonal()), link(service, mlp())
    workers = stopped(service)
    with ThreadPoolExecutor(3) as clients:
        waiting = [clients.submit(service.http.get, url) for _ in range(3)]
        eventually(lambda: workers_of(service).pids_at_work)
        assert service.http.get(other).status_code == 200
        assert service.http.post("/v1/checkpoints", json=mlp(1)).json()["statistics"]
        assert not any(answer.done() for answer in waiting)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        assert {answer.result().content for answer in waiting} == {expected(orthogonal())}


@pytest.mark.usefixtures("large")
def test_more_than_may_wait_are_told_to_come_back(
    start: Start, stopped: Callable[[Running], list[int]]
) -> None:
    service = start(whole_queue=4)
    urls = [link(service, orthogonal(seed, rows=700)) for seed in range(20)]
    workers = stopped(service)
    with ThreadPoolExecutor(20) as clients:
        answers = [clients.submit(service.http.get, url) for url in urls]
        eventually(lambda: sum(answer.done() for answer in answers) == 16)
        for answer in answers:
            if answer.done():
                assert_problem(answer.result(), 503, "busy")
                assert answer.result().headers["retry-after"] == "5"
        assert waiting_for(service) == 4
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        assert sorted(answer.result().status_code for answer in answers) == 4 * [200] + 16 * [503]


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("way", ["multipart", "known statistics", "ranges"])
def test_a_later_part_of_an_answer_waits_and_is_never_refused(start: Start, way: str) -> None:
    service = start(whole_queue=0)
    rules = [
        {"match": {"name": "a"}, "initializer": {"type": "zeros"}},
        {"match": {"name": "b"}, "initializer": {"type": "orthogonal"}},
    ]
    listed = [{"name": name, "shape": [300, 200], "dtype": "float32"} for name in "ab"]
    spec: dict[str, Any] = {
        "architecture": {"type": "tensors", "tensors": listed},
        "init": {"rules": rules},
    }
    if way == "ranges":
        url, far = link(service, spec), 240_000
        ranges = f"bytes=0-9,{far + 8192}-{far + 8300}"
        answer = service.http.get(url, headers={"Range": ranges})
        assert answer.status_code == 206
        return
    spec |= {"max_shard_size": 240_000}
    headers = {"Accept": "multipart/mixed"}
    if way == "known statistics":
        service.issue(spec, Prefer="wait=60")
        for path in stored(service):
            path.unlink()
    answer = service.http.post("/v1/checkpoints", json=spec, headers=headers)
    assert answer.status_code in (200, 201)
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.usefixtures("large")
def test_what_is_not_begun_is_given_up_when_its_last_client_leaves(
    start: Start, stopped: Callable[[Running], list[int]]
) -> None:
    service = start()
    urls = [link(service, orthogonal(seed)) for seed in range(4)]
    stopped(service)
    before = made(service)
    clients = []
    for url in urls:
        client = socket.create_connection(("127.0.0.1", service.port))
        client.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        clients.append(client)
    # One worker is for what is large, so one is begun: who comes back finds it made.
    eventually(lambda: waiting_for(service) == 4 and workers_of(service).pids_at_work)
    for client in clients:
        client.close()
    eventually(lambda: waiting_for(service) == 1)
    assert made(service) == before + 1


@pytest.mark.usefixtures("large")
def test_a_worker_that_dies_once_costs_nobody_an_answer(
    start: Start, stopped: Callable[[Running], list[int]]
) -> None:
    service = start()
    url = link(service, orthogonal())
    workers = stopped(service)
    before = made(service)
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(service.http.get, url)
        eventually(lambda: workers_of(service).pids_at_work)
        (dying,) = workers_of(service).pids_at_work
        os.kill(dying, signal.SIGKILL)
        # Another, which stands still, has the work now, or the successor of the one that died.
        eventually(lambda: made(service) == before + 2)
        for pid in set(workers) - {dying}:
            os.kill(pid, signal.SIGCONT)
        assert answer.result().content == expected(orthogonal())


@pytest.mark.usefixtures("large")
def test_workers_that_die_each_time_are_a_problem(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()

    async def dies(*_: object, **__: object) -> None:
        raise WorkerDied("died")

    with monkeypatch.context() as patch:
        patch.setattr(workers_of(service), "call", dies)
        answer = service.http.get(link(service, orthogonal()))
    problem = assert_problem(answer, 503, "whole-lost")
    assert problem["detail"] == (
        "orthogonal tensor of 300 x 200: the process that computed it died"
    )
    assert service.http.get(link(service, orthogonal())).content == expected(orthogonal())


def test_what_is_too_large_to_compute_is_a_problem_before_anything_is(start: Start) -> None:
    service = start()
    answer = service.issue(orthogonal(rows=BIG, columns=BIG))
    problem = assert_problem(answer, 422, "invalid-spec")
    assert "2000000 x 2000000" in problem["detail"]
    assert workers_of(service).pids == []
    assert not (service.state.settings.store / "whole_tensors").exists()
