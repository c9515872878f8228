"""The way past the framework: what it answers is what the route answers, bit for bit."""

from __future__ import annotations

import pytest

from tests.support.running import Running, mlp
from tests.support.waiting import eventually, settled


@pytest.fixture(scope="module")
def file(service: Running) -> str:
    link: str = service.issue(mlp(7)).json()["links"]["files"]["model.safetensors"]
    return link


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Range": "bytes=5-70000"},
        {"Range": "bytes=-7"},
        {"Range": "bytes=0-1,9-12"},
        {"Range": "bytes=99999999-"},
        {"Range": "nonsense"},
        {"If-None-Match": "*"},
        {"If-Match": '"other"'},
        {"If-Range": '"other"', "Range": "bytes=0-1"},
    ],
)
def test_an_answer_is_the_one_of_the_route(
    service: Running, file: str, headers: dict[str, str]
) -> None:
    # Any query goes by the route.
    short, routed = (service.http.get(file + query, headers=headers) for query in ("", "?x=1"))
    assert short.status_code == routed.status_code
    boundary = short.headers.get("content-type", "").partition("boundary=")[2]
    other = routed.headers.get("content-type", "").partition("boundary=")[2]
    assert short.content.replace(boundary.encode(), other.encode()) == routed.content
    leave = {"date", "content-type"}
    assert {k: v for k, v in short.headers.items() if k not in leave} == {
        k: v for k, v in routed.headers.items() if k not in leave
    }


def test_what_is_not_there_is_a_problem(service: Running, file: str) -> None:
    nothing = file.replace("model.safetensors", "other.safetensors")
    for link in (nothing, nothing.replace("/v1/checkpoints/", "/v1/checkpoints/0")):
        answer = service.http.get(link)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    unknown = service.http.get(f"/v1/checkpoints/{'0' * 64}/files/model.safetensors")
    assert unknown.status_code == 404
    assert unknown.json()["type"].endswith("not-found")


def test_it_is_counted_as_its_route(service: Running, file: str) -> None:
    def counted() -> float:
        lines = service.http.get("/metrics").text.splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if "requests_total" in line and "/files/{file}" in line and '"GET"' in line
        )

    service.http.get(file)
    before = settled(counted)  # A request is counted after its last byte is sent.
    service.http.get(file)
    assert settled(counted) >= before
    eventually(lambda: counted() == before + 1)
