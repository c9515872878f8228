"""Specs drawn at random, right and wrong: never a 5xx, never a wrong file."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load

from seedpoint.models import architectures, initializers
from seedpoint.models.files.layout import layout
from seedpoint.models.generation.device_draws import ReferenceDraws
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.initializers import transforms
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec

if TYPE_CHECKING:
    from tests.support.running import Running

LAYERS = [
    entry["example"]
    for entry in architectures.catalogue()
    if entry["type"] not in ("tensors", "Custom", "Ref")
    and "Lazy" not in entry["type"]
    and "extra" not in entry  # another library's model is no layer inside others
]
INITIALIZERS = [entry["example"] for entry in initializers.catalogue()]
TRANSFORMS = [entry["example"] for entry in transforms.catalogue()]
NAMES = st.sampled_from(["a", "b ", "层", "fc1", "x-y", "0"])
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@st.composite
def layers(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    kind = draw(st.sampled_from(["leaf", "Sequential", "Module", "Repeat"] if depth else ["leaf"]))
    if kind == "leaf":
        return copy.deepcopy(draw(st.sampled_from(LAYERS)))
    if kind == "Repeat":
        return {"type": kind, "count": draw(st.integers(0, 3)), "layer": draw(layers(depth - 1))}
    inner = draw(st.lists(layers(depth - 1), max_size=3))
    if kind == "Sequential":
        return {"type": kind, "layers": inner}
    names = draw(st.lists(NAMES, min_size=len(inner), max_size=len(inner), unique=True))
    return {"type": kind, "children": dict(zip(names, inner, strict=True))}


matches = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["**", "*.weight", "**.bias", "{n}.**", "**0**"]),
        "module": st.sampled_from(["Linear", ["Conv2d", "LSTM"], "Module"]),
        "parameter": st.sampled_from(["weight", "bias"]),
        "ndim": st.integers(0, 4),
        "kind": st.sampled_from(["parameter", "buffer"]),
    },
)
rules = st.fixed_dictionaries(
    {
        "match": matches,
        "initializer": st.sampled_from(INITIALIZERS),
        "optional": st.just(True),
    },
    optional={"transforms": st.lists(st.sampled_from(TRANSFORMS), max_size=2)},
)
specs = st.fixed_dictionaries(
    {"architecture": layers()},
    optional={
        "init": st.fixed_dictionaries(
            {}, optional={"seed": st.integers(0, 2**64 - 1), "rules": st.lists(rules, max_size=3)}
        ),
        "dtype": st.sampled_from(["float32", "bfloat16", "float16", "float64", "float8_e5m2"]),
        "ties": st.sampled_from(["once", "each"]),
    },
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A spec with one value somewhere in it replaced by something odd, or left out."""
    spec = copy.deepcopy(draw(specs))
    place: Any = spec
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return spec
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and draw(st.booleans()):
            place = place[key]
            continue
        if draw(st.booleans()):
            place[key] = draw(ODD)
        else:
            del place[key]
        return spec


MANY = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def reference(spec: dict[str, Any]) -> bytes:
    """The file as the stream in torch operations gives it, transforms and all."""
    planned = make_plan(parse_spec(spec))
    file = layout(planned.plan).files["model.safetensors"]
    reference_draws = ReferenceDraws(torch.device("cpu"))
    evaluator = Evaluator(planned.plan, planned.blobs, draws=reference_draws)
    out = np.empty(file.size_bytes, np.uint8)
    evaluator.read(file, 0, file.size_bytes, out)
    return out.tobytes()


@given(specs)
@MANY
def test_a_right_spec_gives_the_right_file_or_a_problem(
    service: Running, spec: dict[str, Any]
) -> None:
    answer = service.http.post("/v1/checkpoints", json=spec)
    if answer.status_code >= 400:
        check_problem(answer.status_code, answer.json())
        return
    resource = answer.json()
    octets = service.http.get(resource["links"]["files"]["model.safetensors"]).content
    assert octets == reference(spec)
    issued = load(octets)
    for tensor in resource["tensors"]:
        assert list(issued[tensor["name"]].shape) == tensor["shape"]
    verdicts = {name: t["pass"] for name, t in resource["statistics"]["tensors"].items()}
    assert False not in verdicts.values(), verdicts


@given(mutated())
@MANY
def test_a_wrong_spec_is_a_problem_with_paths(service: Running, spec: Any) -> None:
    try:
        body = service.http.build_request("POST", "/v1/checkpoints", json=spec)
    except ValueError:  # NaN is no JSON; httpx refuses to send it
        return
    body.headers["Prefer"] = "return=minimal"
    answer = service.http.send(body)
    if answer.status_code >= 400:
        check_problem(answer.status_code, answer.json())


def check_problem(status: int, problem: dict[str, Any]) -> None:
    assert status in (400, 422), problem
    assert {"type", "title", "status", "detail", "errors"} <= set(problem)
    assert problem["status"] == status
    for error in problem["errors"]:
        assert set(error) == {"path", "message"}
        assert error["message"]
        assert re.split(r"[.\[]", error["path"])[0] in {"architecture", "init", "dtype", ""} | {
            *("ties", "max_shard_size"),
        }
