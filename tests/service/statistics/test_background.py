"""Statistics and digests that take long: bounded in number, begun when asked, out of the way."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import httpx

from tests.support.running import Running, mlp
from tests.support.waiting import eventually

HUGE = 1_000_000_000_000  # 124 TB: hours of work.


def huge(seed: int = 0) -> dict[str, Any]:
    return mlp(seed, hidden=HUGE) | {"max_shard_size": "900TB"}


def begun(answer: httpx.Response) -> str:
    """The state of the computation that a 202 tells of."""
    assert answer.status_code == 202, answer.text
    state: str = answer.json()["progress"]["state"]
    return state


def statistics_of(service: Running, answer: httpx.Response, prefer: str) -> httpx.Response:
    link = answer.json()["links"]["statistics"]
    return service.http.get(link, headers={"Prefer": prefer})


def test_those_of_a_huge_checkpoint_are_begun_when_they_are_asked_for(
    start: Callable[..., Running],
) -> None:
    service = start(unasked_statistics_bytes=HUGE)
    for prefer in ("wait=60", "respond-async"):
        answer = service.issue(huge(), Prefer=prefer)
        assert begun(answer) == "not-begun"
        assert answer.json()["progress"]["bytes_total"] > 0
        assert "retry-after" not in answer.headers
        assert "statistics" not in answer.json()
    assert service.generated() == 0
    asked = statistics_of(service, answer, "respond-async")
    assert begun(asked) == "running"
    assert asked.headers["retry-after"] == "1"
    assert begun(service.issue(huge(), Prefer="wait=60")) == "running"  # It is told of that.


def digest_of(service: Running, spec: dict[str, Any], prefer: str) -> httpx.Response:
    (link,) = service.issue(spec).json()["links"]["files"].values()
    return service.http.get(f"{link}?digest=sha-256", headers={"Prefer": prefer})


def test_no_more_are_computed_or_wait_than_the_settings_say(start: Callable[..., Running]) -> None:
    service = start(statistics_at_once=1, statistics_queue=1, unasked_statistics_bytes=1 << 60)
    answers = [service.issue(huge(seed), Prefer="respond-async") for seed in range(4)]
    assert [begun(answer) for answer in answers] == ["running", "waiting", "not-begun", "not-begun"]
    assert begun(statistics_of(service, answers[3], "wait=0")) == "not-begun"
    assert begun(statistics_of(service, answers[1], "wait=0")) == "waiting"


def test_small_ones_do_not_wait_for_huge_ones(start: Callable[..., Running]) -> None:
    service = start(statistics_at_once=1, unasked_statistics_bytes=1 << 60)
    first = service.issue(huge(), Prefer="respond-async")
    for hidden in (256, 1_000_000):  # With digests and without.
        answer = service.issue(mlp(hidden=hidden), Prefer="wait=60")
        assert answer.status_code == 201
        assert answer.json()["statistics"]
    before = statistics_of(service, first, "wait=0").json()["progress"]["bytes_done"]

    def goes_on() -> bool:
        answer = statistics_of(service, first, "wait=0")
        return bool(answer.json()["progress"]["bytes_done"] != before)

    eventually(goes_on, "the large one does not go on")


def test_small_ones_find_room_when_huge_ones_have_taken_all(start: Callable[..., Running]) -> None:
    service = start(statistics_at_once=1, statistics_queue=0, unasked_statistics_bytes=1 << 60)
    states = [begun(service.issue(huge(seed), Prefer="respond-async")) for seed in range(2)]
    assert states == ["running", "not-begun"]
    for hidden in (256, 1_000_000):  # With digests and without.
        answer = service.issue(mlp(hidden=hidden), Prefer="wait=60")
        assert answer.status_code == 201
        assert answer.json()["statistics"]


def test_a_client_that_leaves_while_it_waits_frees_its_place(start: Callable[..., Running]) -> None:
    service = start(statistics_at_once=1, statistics_queue=0)
    link = service.issue(huge()).json()["links"]["statistics"]
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(f"GET {link} HTTP/1.1\r\nHost: x\r\nPrefer: wait=600\r\n\r\n".encode())
        eventually(service.generated)
        other = service.issue(huge(1))
        assert begun(statistics_of(service, other, "wait=0")) == "not-begun"
    eventually(lambda: begun(statistics_of(service, other, "wait=0")) == "running")


def test_digests_are_bounded_too(start: Callable[..., Running]) -> None:
    service = start(statistics_at_once=1, statistics_queue=0)
    asked = [digest_of(service, huge(seed), "respond-async") for seed in range(2)]
    assert [begun(answer) for answer in asked] == ["running", "not-begun"]
    assert "repr-digest" in digest_of(service, mlp(), "wait=60").headers  # Small ones find room.


def test_what_nobody_comes_back_for_is_given_up(start: Callable[..., Running]) -> None:
    service = start(statistics_at_once=1, statistics_queue=0, statistics_lease_seconds=1.5)
    left = service.issue(huge())
    file = left.json()["links"]["files"]["model.safetensors"]
    assert begun(statistics_of(service, left, "respond-async")) == "running"
    digest = service.http.get(f"{file}?digest=sha-256", headers={"Prefer": "respond-async"})
    assert begun(digest) in {"waiting", "running"}  # As long as the lease of the other lasts.
    eventually(lambda: not service.metric("seedpoint_statistics_running"), "it goes on for nobody")
    assert service.issue(mlp(1), Prefer="wait=60").json()["statistics"]
    assert begun(statistics_of(service, left, "respond-async")) == "running"  # Anew.
