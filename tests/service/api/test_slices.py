"""Strided slices: costly ones are computed in pieces, which stop and give way to others."""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.files.slices import parse_slice
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.generation.tensor_part import PIECE_ELEMENTS, TensorPart
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.service.generation.parts_source import PartsFile
from tests.support.running import Running
from tests.support.waiting import eventually, settled

ROW = 4096
COLUMN = "?slice=:,0"


NORMAL = {"type": "normal"}
COSTLY = {"type": "sum", "initializers": [NORMAL, {"type": "uniform"}]}  # Whole ranges are made.


def tensor(*shape: int, initializer: Mapping[str, Any] = NORMAL) -> dict[str, Any]:
    """A spec of one tensor, `w`."""
    architecture = {"type": "tensors", "tensors": [{"name": "w", "shape": shape, "dtype": "F32"}]}
    rule = {"match": {}, "initializer": initializer}
    return {"architecture": architecture, "init": {"rules": [rule]}}


def link_of(service: Running, *shape: int, initializer: Mapping[str, Any] = NORMAL) -> str:
    answer = service.issue(tensor(*shape, initializer=initializer))
    assert answer.is_success, answer.text
    return answer.headers["location"] + "/tensors/w"


def leave(service: Running, path: str, accept: str, read_bytes: int) -> None:
    """Asks, reads so many bytes of the answer, and breaks the connection."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())
        received = 0
        while received < read_bytes:
            received += len(connection.recv(1 << 16))
        eventually(service.generated)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(("accept", "read_bytes"), [("*/*", 1000), ("application/json", 0)])
def test_a_client_that_leaves_a_costly_slice_stops_it_within_a_few_pieces(
    start: Callable[..., Running], accept: str, read_bytes: int
) -> None:
    service = start(max_json_elements=2_000_000, threads=1)
    link = link_of(service, 2_000_000, ROW, initializer=COSTLY)
    leave(service, link + COLUMN, accept, read_bytes)
    assert settled(service.generated) < 2_000_000 * ROW / 2  # As it would not rest before the end.


def test_a_small_request_is_answered_while_a_costly_slice_is_computed(
    start: Callable[..., Running],
) -> None:
    service = start(threads=1, max_json_elements=2_000_000)
    large, small = link_of(service, 2_000_000, ROW, initializer=COSTLY), link_of(service, 3)
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        request = f"GET {large}{COLUMN} HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n"
        connection.sendall(request.encode())
        eventually(service.generated)
        assert service.http.get(small).is_success
        assert not select.select([connection], [], [], 0)[0], "the large one was first"


def test_a_costly_slice_is_the_whole_tensors_slice(service: Running) -> None:
    link = link_of(service, 3000, 2000)
    whole = safetensors.torch.load(service.http.get(link).content)["w"]
    got = service.http.get(link, params={"slice": ":,7"})
    assert torch.equal(safetensors.torch.load(got.content)["w"], whole[:, 7])
    got = service.http.get(link, params={"slice": ":,7"}, headers={"Accept": "application/json"})
    assert torch.equal(torch.tensor(got.json()["values"]), whole[:, 7])


shapes = st.tuples(*[st.sampled_from([1, 3, 50, 4096, 10**5])] * 3)
members = st.sampled_from([":", "0", "::2", "::40", "1:", ":1"])


@given(shapes, st.tuples(members, members, members), st.integers(1, 1 << 23), st.data())
def test_cuts_are_the_file_without_gap_and_none_costs_much(
    shape: tuple[int, ...], picks: tuple[str, ...], nbytes: int, draw: st.DataObject
) -> None:
    plan = make_plan(parse_spec(tensor(*shape, initializer=COSTLY))).plan
    try:
        picked = parse_slice(",".join(picks), shape)
    except ValueError:  # An index of an axis that is too short.
        return
    file = PartsFile.of([TensorPart(Evaluator(plan), 0, picked, "w")], etag='"w"')
    start = draw.draw(st.integers(0, file.size_bytes))
    at = start
    for _, (first, last) in zip(range(20), file.cuts(start, file.size_bytes, nbytes), strict=False):
        assert first == at < last
        assert last - first <= max(nbytes, 4) + len(file.file.head)
        assert last == file.size_bytes or (last - len(file.file.head)) % 4 == 0
        at = last
    runs = file.parts[0].piece_elements / max(picked.run_elements, 1)
    if picked.numel and runs > 1:  # Each run is a call, or lies within what is generated around it.
        assert file.parts[0].piece_elements <= PIECE_ELEMENTS
        least = min([stride for _, stride in picked.axes], default=1)
        assert runs * min(least, ROW) <= 2 * PIECE_ELEMENTS


def test_numbers_of_every_kind_are_exact(service: Running) -> None:
    values = {"type": "values", "values": [1.5, -0.0, 3.0]}
    spec = tensor(3)
    spec["init"]["rules"][0]["initializer"] = values
    link = service.issue(spec).headers["location"] + "/tensors/w"
    got = service.http.get(link, headers={"Accept": "application/json"})
    assert json.dumps(got.json()["values"]) == "[1.5, -0.0, 3.0]"
    for text, found in (("1", 0.0), ("3:", [])):
        got = service.http.get(link, params={"slice": text}, headers={"Accept": "application/json"})
        assert got.json()["values"] == found
