"""Tensors and slices of them over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.support.files import (
    exchange,
)
from tests.support.running import Running, mlp


@pytest.fixture(scope="module")
def tensors(service: Running) -> tuple[str, dict[str, torch.Tensor]]:
    resource = service.issue(mlp(42)).json()
    (file,) = resource["links"]["files"].values()
    loaded = safetensors.torch.load(service.http.get(file).content)
    return resource["links"]["self"] + "/tensors/", loaded


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("", ...),
        ("3", 3),
        ("0:128,:", np.s_[0:128, :]),
        (":,0", np.s_[:, 0]),
        ("::7,1:-1:3", np.s_[::7, 1:-1:3]),
        ("-5:", np.s_[-5:]),
        ("7,7", np.s_[7, 7]),
        ("5:5", np.s_[5:5]),
    ],
)
def test_a_slice_is_the_whole_tensors_slice(
    service: Running, tensors: tuple[str, dict[str, torch.Tensor]], text: str, index: Any
) -> None:
    base, whole = tensors
    expected = whole["hidden.weight"][index]
    got = service.http.get(base + "hidden.weight", params={"slice": text})
    assert got.headers["content-type"] == "application/octet-stream"
    (loaded,) = safetensors.torch.load(got.content).items()
    assert loaded[0] == "hidden.weight"
    assert torch.equal(loaded[1], expected)
    asked = {"Accept": "application/json"}
    numbers = service.http.get(base + "hidden.weight", params={"slice": text}, headers=asked).json()
    assert numbers["shape"] == list(expected.shape)
    assert torch.equal(torch.tensor(numbers["values"]).reshape(expected.shape), expected)


def test_a_slice_takes_ranges_and_conditions(
    service: Running, tensors: tuple[str, dict[str, torch.Tensor]]
) -> None:
    link = tensors[0] + "hidden.weight?slice=:,::3"
    whole = service.http.get(link)
    part = service.http.get(link, headers={"Range": "bytes=101-333"})
    assert part.status_code == 206
    assert part.content == whole.content[101:334]
    etag = whole.headers["etag"]
    assert service.http.get(link, headers={"If-None-Match": etag}).status_code == 304
    other = service.http.head(tensors[0] + "hidden.weight?slice=:,::2").headers["etag"]
    assert other != etag


def test_short_runs_of_a_large_tensor_are_picked_right(service: Running) -> None:
    layers = [{"type": "Linear", "in_features": 3000, "out_features": 700}]
    resource = service.issue({"architecture": {"type": "Sequential", "layers": layers}}).json()
    (file,) = resource["links"]["files"].values()
    whole = safetensors.torch.load(service.http.get(file).content)["0.weight"]
    base = resource["links"]["self"] + "/tensors/0.weight"
    for text, index in ((":,17", np.s_[:, 17]), ("::699,::2", np.s_[::699, ::2])):
        got = service.http.get(base, params={"slice": text})
        assert torch.equal(safetensors.torch.load(got.content)["0.weight"], whole[index])


def test_bfloat16_as_json_is_exact(service: Running) -> None:
    resource = service.issue(mlp(1) | {"dtype": "bfloat16"}).json()
    base = resource["links"]["self"] + "/tensors/output.bias"
    exact = safetensors.torch.load(service.http.get(base).content)["output.bias"]
    values = service.http.get(base, headers={"Accept": "application/json"}).json()["values"]
    assert values == exact.double().tolist()


def test_more_elements_than_json_is_given_for_are_a_problem(start: Callable[..., Running]) -> None:
    service = start(max_json_elements=20)
    base = service.issue(mlp()).headers["location"] + "/tensors/hidden.weight"
    asked = {"Accept": "application/json"}
    assert service.http.get(base + "?slice=0", headers=asked).is_success
    refused = service.http.get(base + "?slice=:2", headers=asked)
    assert refused.status_code == 422
    assert "20" in refused.json()["detail"]


@pytest.mark.parametrize(
    "name", ["fc2 ", " ", "a/b", "ü.é", "100%", "a?b#c", "x+y", "naïve\n", "..", "a//b", "%2F"]
)
def test_any_name_can_be_asked_for(service: Running, name: str) -> None:
    spec = {
        "architecture": {
            "type": "tensors",
            "tensors": [{"name": name, "shape": [2], "dtype": "float32"}],
        },
        "init": {"rules": [{"match": {}, "initializer": {"type": "constant", "val": 2.0}}]},
    }
    issued = service.issue(spec)
    assert issued.status_code in (200, 201), issued.text
    path = f"{issued.headers['location']}/tensors/{quote(name, safe='')}"
    status, _, body = exchange(service, f"GET {path} HTTP/1.1\nAccept: application/json\n")
    assert status == "HTTP/1.1 200 OK", body
    assert json.loads(body) == {"name": name, "dtype": "F32", "shape": [2], "values": [2.0, 2.0]}


def test_a_tensor_answers_under_an_alias_too(service: Running) -> None:
    tied = {
        "type": "Sequential",
        "layers": [
            {"name": "a", "type": "Linear", "in_features": 4, "out_features": 4},
            {"name": "b", "type": "Ref", "ref": "a"},
        ],
    }
    base = service.issue({"architecture": tied}).headers["location"] + "/tensors/"
    first = safetensors.torch.load(service.http.get(base + "a.weight").content)["a.weight"]
    second = safetensors.torch.load(service.http.get(base + "b.weight").content)["b.weight"]
    assert torch.equal(first, second)


def test_an_odd_slice_of_four_bits_is_refused_as_a_file_and_taken_as_numbers(
    service: Running,
) -> None:
    listed = {"w": {"shape": [3, 6], "dtype": "float4_e2m1fn_x2"}}
    spec = {
        "architecture": {"type": "tensors", "tensors": listed},
        "init": {"rules": [{"match": {}, "initializer": {"type": "constant", "value": 1.5}}]},
    }
    tensor = service.issue(spec).json()["links"]["self"] + "/tensors/w"
    assert service.http.get(tensor, params={"slice": "1:,2:4"}).status_code == 200
    refused = service.http.get(tensor, params={"slice": "1:,2:5"})
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "query.slice")
    message = refused.json()["errors"][0]["message"]
    assert message == (
        "two elements of float4_e2m1fn_x2 share a byte, so the last size of a shape is even; "
        "not [2, 3]; or Accept: application/json"
    )
    asked = {"Accept": "application/json"}
    numbers = service.http.get(tensor, params={"slice": "1:,2:5"}, headers=asked).json()
    assert (numbers["dtype"], numbers["values"]) == ("F4", [[1.5] * 3] * 2)
