"""Orthogonal and sparse tensors over HTTP: like any other, and no burden to others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

from seedpoint.service.settings import Settings
from seedpoint.service.workers.errors import WorkerDied
from tests.support.problems import assert_problem
from tests.support.running import Running, run_service
from tests.support.whole_tensors import expected, link, made, orthogonal, sparse, stored, workers_of

pytestmark = pytest.mark.usefixtures("eager")

Start = Callable[..., Running]
BIG = 2_000_000


@pytest.fixture(scope="module")
def kept(eager: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service for tests each of which has seeds of its own."""
    running = run_service(Settings(store=tmp_path_factory.mktemp("store"), build_workers=1))
    yield running
    running.stop()


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


# --- failures -------------------------------------------------------------------------


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
