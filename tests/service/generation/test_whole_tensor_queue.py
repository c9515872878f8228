"""Whole tensors that wait or fail: no burden to others, and never a wrong answer."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.problems import assert_problem
from tests.support.running import Running, mlp
from tests.support.waiting import eventually
from tests.support.whole_tensors import (
    expected,
    link,
    made,
    orthogonal,
    stored,
    waiting_for,
    workers_of,
)

pytestmark = pytest.mark.usefixtures("eager")

Start = Callable[..., Running]


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
