"""Reports about sources and transforms: each is issued with the values that its author wanted."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
import torch
from safetensors.torch import load

from seedpoint.models.errors import SpecError
from tests.models.formulas.test_bilinear import fcn
from tests.models.initializers.test_catalogue import issued
from tests.support.places import ROOT


def report(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads((ROOT / "tests/reports" / f"{name}.json").read_text())
    return spec


def test_24_a_state_space_layer_has_a_row_of_logarithms_and_log_uniform_steps() -> None:
    found = load(issued(report("24-ssm-layer")))
    wanted = torch.log(torch.arange(1, 5, dtype=torch.float32)).expand(8, 4)
    torch.testing.assert_close(found["A_log"], wanted)
    assert ((found["dt_bias"] >= 0.001) & (found["dt_bias"] <= 0.1)).all()


def test_24_the_same_rows_by_an_expression_and_steps_before_softplus() -> None:
    spec = report("24-ssm-layer")
    first, second = spec["init"]["rules"]
    first.pop("transforms")
    first["initializer"] = {"type": "map", "expression": "log(col + 1)"}
    second["transforms"].append({"type": "inverse_softplus"})
    found, before = load(issued(spec)), load(issued(report("24-ssm-layer")))
    torch.testing.assert_close(found["A_log"], before["A_log"])
    steps = torch.nn.functional.softplus(found["dt_bias"])
    torch.testing.assert_close(steps, before["dt_bias"], rtol=1e-4, atol=0)


def test_25_bilinear_upsampling_is_that_of_fully_convolutional_networks() -> None:
    assert torch.equal(load(issued(report("25-bilinear")))["weight"], fcn(3, 4).float())


def test_infinities_are_written_as_strings() -> None:
    shape = {"name": "w", "shape": [2, 2]}
    for initializer in (
        {"type": "constant", "val": "-Infinity"},
        {"type": "values", "values": [["-Infinity", 0.5], ["Infinity", 1]]},
        {"type": "triu", "val": "-Infinity", "diagonal": 1},
    ):
        found = load(issued(_filled_spec(shape, initializer)))["w"].flatten().tolist()
        wanted = {"constant": [-math.inf] * 4, "values": [-math.inf, 0.5, math.inf, 1.0]}
        assert found == wanted.get(str(initializer["type"]), [0.0, -math.inf, 0.0, 0.0])


@pytest.mark.parametrize("dtype", ["int64", "float8_e4m3fn"])
def test_a_dtype_without_infinity_refuses_it(dtype: str) -> None:
    shape = {"name": "w", "shape": [2], "dtype": dtype}
    for initializer in (
        {"type": "constant", "val": "Infinity"},
        {"type": "values", "values": ["Infinity", 0]},
    ):
        with pytest.raises(SpecError, match=f"{dtype} has no infinity"):
            issued(_filled_spec(shape, initializer))


def _filled_spec(tensor: dict[str, Any], initializer: dict[str, Any]) -> dict[str, Any]:
    rules = [{"match": {}, "initializer": initializer}]
    return {
        "architecture": {"type": "tensors", "tensors": [tensor]},
        "init": {"seed": 0, "rules": rules},
    }


def test_03_identity_and_noise_are_a_sum() -> None:
    spec = report("03-list-void")
    rule = spec["init"]["rules"][0]
    noise = load(issued(spec))["weight"]
    rule["initializer"] = {"type": "sum", "initializers": rule["initializer"]}
    assert torch.equal(load(issued(spec))["weight"], torch.eye(4) + noise)


def test_26_a_transposed_tie_leads_to_the_copy() -> None:
    spec = report("26-transposed-tie")
    copy = '{"type": "copy", "of": "enc.weight", "transpose": true}'
    with pytest.raises(SpecError, match=re.escape(copy)):
        issued(spec)
    del spec["architecture"]["children"]["dec"]["tie"]
    spec["init"] = {"rules": [{"match": {"name": "dec.weight"}, "initializer": json.loads(copy)}]}
    found = load(issued(spec))
    assert torch.equal(found["dec.weight"], found["enc.weight"].T)
