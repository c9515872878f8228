"""Reports on parts, slices, fans and tied tensors: the values that their authors meant."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from seedpoint.models.errors import SpecError
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.planning.sequential import platform
from seedpoint.models.spec.schema import parse_spec
from tests.support.issued import issued
from tests.support.places import ROOT


def report(name: str) -> Any:
    return json.loads((ROOT / "tests/reports" / f"{name}.json").read_text("utf-8"))


def told(document: Any) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        make_plan(parse_spec(document))
    return {fault.path: fault.message for fault in caught.value.faults}


def rule_of(document: Any) -> Any:
    return document["init"]["rules"][0]


def without_rules(document: Any) -> dict[str, torch.Tensor]:
    return issued({**document, "init": {**document["init"], "rules": []}})


def test_01_a_list_for_the_parts_is_told_the_right_spelling() -> None:
    document = report("01-list-per-part")
    ((path, message),) = told(document).items()
    assert path == "init.rules.0.initializer"
    assert '"parts": [{"size": 4, "initializer": {"type": "zeros"}}, ...]' in message
    rule = rule_of(document)
    for part, initializer in zip(rule["splits"]["parts"], rule["initializer"], strict=True):
        part["initializer"] = initializer
    rule["initializer"] = {"type": "zeros"}
    assert issued(document)["bias_ih_l0"].tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8


def test_07_each_convolution_has_its_own_groups() -> None:
    document = report("07-groups-in-one-rule")
    assert "contradicts its module" in told(document)["init.rules.0.fan"]
    rule_of(document)["fan"]["groups"] = "module"
    fans = [tensor.fan_out for tensor in make_plan(parse_spec(document)).plan.tensors]
    assert fans == [72, 9]


@pytest.mark.parametrize("name", ["08-experts-fan", "21-experts-batch-axis"])
def test_08_and_21_stacked_experts_have_the_fans_of_one(name: str) -> None:
    document = report(name)
    rule_of(document)["fan"]["batch_axes"] = [0]
    (tensor,) = make_plan(parse_spec(document)).plan.tensors
    assert (tensor.fan_in, tensor.fan_out) == (64, 32)
    bound = (6 / 96) ** 0.5
    values = issued(document)["experts.w"]
    assert 0.98 * bound < float(values.abs().max()) <= bound


def test_08_an_axis_that_may_be_a_stack_is_warned_of() -> None:
    document = report("08-experts-fan")
    (warning,) = make_plan(parse_spec(document)).plan.warnings
    assert "axis 0" in str(warning)
    assert '"batch_axes": [0]' in str(warning)
    rule_of(document)["fan"]["batch_axes"] = [0]
    assert make_plan(parse_spec(document)).plan.warnings == ()


def test_09_each_expert_is_orthogonal() -> None:
    document = report("09-experts-orthogonal")
    rule = rule_of(document)
    del rule["splits"]
    rule["fan"] = {"batch_axes": [0]}
    for expert in issued(document)["experts.w"].double():
        assert torch.allclose(expert @ expert.T, torch.eye(32).double(), atol=1e-6)


def test_11_tied_tensors_are_drawn_in_the_scripts_order() -> None:
    document = report("11-tied-two-rules-torch")
    torch.manual_seed(5)
    script = nn.Module()
    script.emb, script.head = nn.Embedding(50, 8), nn.Linear(8, 50, bias=False)
    script.head.weight = script.emb.weight

    def init(module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=1.0)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)

    script.apply(init)
    assert torch.equal(issued(document)["emb.weight"], script.emb.weight.detach())
    planned = make_plan(parse_spec(document), platform=platform())
    assert planned.plan.tensors[0].aliases == ("head.weight",)


def test_12_the_forget_gate_is_one() -> None:
    document = report("12-gate-bias")
    found = issued(document)
    bias = torch.zeros(512)
    bias[128:256].fill_(1)
    assert torch.equal(found["bias_ih_l0"], bias)
    assert torch.equal(found["bias_hh_l0"], without_rules(document)["bias_hh_l0"])


def test_13_the_forget_gate_is_one_and_the_rest_pytorchs() -> None:
    document = report("13-gate-bias-own")
    bias = without_rules(document)["bias_ih_l0"]
    bias[128:256].fill_(1)
    assert torch.equal(issued(document)["bias_ih_l0"], bias)
    document["init"]["generator"] = "torch"
    torch.manual_seed(0)
    script = nn.LSTM(3, 128)
    script.bias_ih_l0.data[128:256].fill_(1)
    assert torch.equal(issued(document)["bias_ih_l0"], script.bias_ih_l0.detach())


def test_15_the_first_rows_are_given() -> None:
    found = issued(report("15-pretrained-rows"))["weight"]
    assert found[:2].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert 0.02 < float(found[2:].std()) < 0.25


def test_16_a_range_of_rows_is_zero() -> None:
    document = report("16-rows-range")
    found = issued(document)["weight"]
    assert torch.equal(found[50:], torch.zeros(14, 4))
    del rule_of(document)["transforms"]
    assert torch.equal(found[:50], issued(document)["weight"][:50])


def test_20_a_bias_has_pytorchs_rule() -> None:
    document = report("20-bias-by-weight-fan")
    document["init"]["rules"][1]["fan"] = {"of": "weight"}
    linear = {"type": "Linear", "in_features": 20, "out_features": 30}
    own = issued({"architecture": linear})
    found = issued(document)
    assert torch.equal(found["bias"], own["bias"])
    assert torch.equal(found["weight"], own["weight"])


def test_46_numbers_of_the_config_are_names() -> None:
    pytest.importorskip("transformers")
    document = report("46-config-in-expression")
    planned = make_plan(parse_spec(document)).plan
    stds = {tensor.program.source.std for tensor in planned.tensors if len(tensor.shape) == 2}  # type: ignore[union-attr]
    hidden = next(t.shape[1] for t in planned.tensors if t.name.endswith("embed_tokens.weight"))
    assert stds == {1 / hidden**0.5}
