"""A preset in a spec: its architecture with overrides, and its faults."""

from __future__ import annotations

import json
from typing import Any

import pytest

from seedpoint.models import architectures, presets
from seedpoint.models.architectures import parse
from seedpoint.models.errors import LimitExceeded
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from tests.support.presets import faults, planned, shipped

pytest.importorskip("transformers")


def test_a_preset_is_the_same_checkpoint_as_its_architecture() -> None:
    by_name = planned("llama-tiny").plan
    written_out = {"architecture": dict(presets.get("llama-tiny").architecture)}
    assert by_name.id == make_plan(parse_spec(written_out)).plan.id
    assert by_name.spec["architecture"]["type"] == "transformers"


def test_overrides_lie_over_the_config_and_merge_into_objects() -> None:
    made = planned("clip-tiny", {"vision_config": {"num_hidden_layers": 1}, "projection_dim": 8})
    names = [tensor.name for tensor in made.plan.tensors]
    assert not any("vision_model.encoder.layers.1" in name for name in names)
    assert any("text_model.encoder.layers.1" in name for name in names)
    config = made.plan.spec["architecture"]["config"]
    assert config["projection_dim"] == 8 and config["vision_config"]["patch_size"] == 16


def test_an_override_of_null_takes_the_place_of_an_object() -> None:
    spec = planned("llama-tiny", {"rope_scaling": None}).plan.spec
    assert spec["architecture"]["config"]["rope_scaling"] is None


def test_planning_leaves_a_preset_as_it_was() -> None:
    before = json.dumps(presets.get("deepseek-v3-tiny").architecture)
    architecture = parse(presets.spec("deepseek-v3-tiny")["architecture"])
    canonical = architectures.normalized(architecture)
    planned("deepseek-v3-tiny", {"num_hidden_layers": 4})
    make_plan(parse_spec({"architecture": canonical}))
    assert json.dumps(presets.get("deepseek-v3-tiny").architecture) == before
    assert architectures.normalized(architecture) == canonical


@pytest.mark.parametrize(
    ("name", "overrides", "fault"),
    [
        ("lama-tiny", {}, "name: unknown preset 'lama-tiny'; did you mean llama-tiny"),
        ("gpt3", {}, "name: unknown preset 'gpt3'; did you mean gpt2"),
        (
            "zzz",
            {},
            "name: unknown preset 'zzz'; `seedpoint presets` and GET /v1/presets list all ",
        ),
        ("llama-tiny", {"hiden_size": 8}, "overrides.hiden_size: LlamaConfig has no such field; "),
        ("llama-tiny", {"hidden_size": "x"}, "overrides.hidden_size: "),
        ("llama-tiny", {"hidden_size": 2**60}, "overrides.hidden_size: expected a number up to"),
        ("llama-tiny", {"auto_map": {"a": "b"}}, "overrides.auto_map: remote code"),
        ("llama-tiny", {"num_hidden_layers": 2**40}, "overrides.num_hidden_layers: 1099511627776 "),
        ("clip-tiny", {"vision_config": {"hiden_size": 8}}, "overrides.vision_config.hiden_size: "),
    ],
)
def test_a_bad_preset_is_a_problem_at_its_place(
    name: str, overrides: dict[str, Any], fault: str
) -> None:
    assert faults(name, overrides)[0].startswith(f"architecture.{fault}")


def test_a_preset_has_one_model_type() -> None:
    (fault,) = faults("llama-tiny", {"model_type": "bert"})
    assert fault.startswith("architecture.overrides.model_type: the preset's fields are those of")
    assert planned("llama-tiny", {"model_type": "llama"}).plan.id == shipped("llama-tiny").plan.id
    (fault,) = faults("resnet-50", {"model_type": "resnet", "hiden_sizes": [1]})
    assert fault.startswith("architecture.overrides.hiden_sizes: ")


def test_a_constructor_s_fault_is_at_the_overrides_it_comes_of() -> None:
    assert faults("gpt2-tiny", {"n_head": 5})[0].startswith("architecture.overrides")


def test_a_limit_is_a_limit_under_a_preset_s_name() -> None:
    spec = presets.spec("llama-tiny", {"num_hidden_layers": 2**40})
    with pytest.raises(LimitExceeded):
        make_plan(parse_spec(spec))
