"""Configs as they are published: what the library wrote, and what its versions left in them."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from seedpoint.models.architectures.huggingface.configs import config_of
from seedpoint.models.architectures.huggingface.fields import fields_of
from seedpoint.models.architectures.huggingface.offline import offline
from seedpoint.models.architectures.huggingface.unknown_fields import is_slip
from seedpoint.models.architectures.limits import MAX_MODULES
from seedpoint.models.architectures.opaque_json import exact
from seedpoint.models.errors import SpecError
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.spec.schema import parse_spec
from tests.support.transformers_specs import CONFIGS

pytest.importorskip("transformers")

LLAMA = CONFIGS["LlamaForCausalLM"]
VERSION = {"transformers_version": "4.40.1"}


def planned(config: dict[str, Any], **more: Any) -> Planned:
    return make_plan(
        parse_spec({"architecture": {"type": "transformers", "config": config, **more}})
    )


def warnings(config: dict[str, Any]) -> tuple[str, ...]:
    return tuple(warning.message for warning in planned(config).plan.warnings)


def faults(config: dict[str, Any]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        planned(config)
    return [str(fault) for fault in caught.value.faults]


def taken(config: dict[str, Any]) -> Any:
    """The config object alone, nothing built of it."""
    with offline():
        return config_of(exact(config), "config", MAX_MODULES)[0]


@cache
def written() -> dict[str, dict[str, Any]]:
    """The document that the library writes for each of its config classes, by model type."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    found: dict[str, dict[str, Any]] = {}
    with offline():
        for kind in sorted(CONFIG_MAPPING):
            try:
                found[kind] = json.loads(CONFIG_MAPPING[kind]().to_json_string())
            # It takes what another config says, or its own default is none.
            except (ValueError, StrictDataclassError):
                continue
    return found


# --- what the library writes -----------------------------------------------------------


def test_a_config_that_the_library_wrote_is_taken_as_the_library_takes_it() -> None:
    from transformers import PreTrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    assert len(written()) > 500
    for kind, document in written().items():
        theirs = CONFIG_MAPPING[kind](**PreTrainedConfig._decode_special_floats(document))
        mine = taken(document)
        assert json.loads(mine.to_json_string()) == json.loads(theirs.to_json_string()), kind


def test_whole_numbers_in_lists_of_floats_are_floats() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    lists = 0
    for kind, document in written().items():
        for key, value in document.items():
            floats = isinstance(value, list) and value and all(type(x) is float for x in value)
            if floats and key in CONFIG_MAPPING[kind].__dataclass_fields__:
                lists += 1
                assert getattr(taken({"model_type": kind, key: value}), key) == value, (kind, key)
    assert lists > 10


@pytest.mark.parametrize("limit", [[0.0, 0.5], [0.0, 1e9], [0, {"__float__": "Infinity"}]])
def test_the_limits_of_mamba_s_time_step_are_floats(limit: list[Any]) -> None:
    config = taken({"model_type": "mamba2", "time_step_limit": limit})
    assert all(type(bound) is float for bound in config.time_step_limit)


def test_a_list_of_ints_stays_one() -> None:
    assert "Invalid item at index 0" in faults({"model_type": "swin", "depths": [1.5, 2]})[0]
    assert taken({"model_type": "swin", "depths": [2.0, 2]}).depths == [2, 2]


def test_infinity_is_read_as_the_library_writes_it() -> None:
    bound = {"__float__": "Infinity"}
    sizes = {"hidden_size": 32, "num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1}
    layers = {"model_type": "mamba2", "num_hidden_layers": 1, "vocab_size": 99}
    made = planned(layers | sizes | {"time_step_limit": [0.0, bound]}).plan
    assert json.loads(made.files["config.json"])["time_step_limit"] == [0.0, bound]
    assert made.spec["architecture"]["config"]["time_step_limit"] == [0, bound]


# --- fields that a class does not declare ----------------------------------------------


def test_an_unknown_field_of_a_written_config_is_warned_of() -> None:
    (warning,) = warnings(LLAMA | VERSION | {"colour_of_llama": 3})
    assert warning.startswith("architecture.config.colour_of_llama: LlamaConfig of transformers ")
    assert faults(LLAMA | {"colour_of_llama": 3})[0].startswith(
        "architecture.config.colour_of_llama: LlamaConfig has no such field"
    )


def test_a_misspelled_field_of_a_written_config_is_a_fault() -> None:
    (fault,) = faults(LLAMA | VERSION | {"hiden_size": 3})
    assert fault.startswith("architecture.config.hiden_size: LlamaConfig has no such field; did")


@pytest.mark.parametrize("name", ["to_dict", "_remove_keys_not_serialized", "__class__"])
def test_no_field_takes_the_place_of_the_class_s_own_code(name: str) -> None:
    assert f"config.{name}: " in faults(LLAMA | VERSION | {name: "x"})[0]
    inside = {"model_type": "clip", "text_config": {name: "x"}}
    assert f"config.text_config.{name}: " in faults(inside)[0]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("llama", "_hidden_size"), ("llama", "_output_attentions")),
        ("paligemma", "_vocab_size"),
    ],
)
def test_a_known_name_after_an_underscore_is_a_leftover(kind: str, name: str) -> None:
    with offline():
        (warning,) = config_of({"model_type": kind, name: 3, **VERSION}, "config", MAX_MODULES)[1]
    assert warning.path == f"config.{name}" and "kept unchecked in config.json" in warning.message
    assert "has no such field" in faults({"model_type": kind, name: 3})[0]


@pytest.mark.parametrize(
    ("kind", "name", "meant"),
    [
        ("t5", "d_modle", "d_model"),
        ("t5", "d_fff", "d_ff"),
        ("gpt2", "n_lyaer", "n_layer"),
        ("gpt2", "n_haed", "n_head"),
        ("gpt2", "n_embdd", "n_embd"),
        ("gpt2", "n_hed", "n_head"),
    ],
)
def test_a_slip_in_a_short_name_is_a_fault(kind: str, name: str, meant: str) -> None:
    (fault,) = faults({"model_type": kind, name: 3, **VERSION})
    assert fault.startswith(f"architecture.config.{name}: ") and meant in fault


def test_no_field_of_one_class_is_a_slip_in_a_short_name_of_another_s() -> None:
    """Configs keep fields that other classes declare; these are not misspellings."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    names = {key for document in written().values() for key in document}
    for kind in ("gpt2", "t5", "llama", "mamba", "bart", "distilbert", "clip_text_model", "xlnet"):
        cls: Any = CONFIG_MAPPING[kind]
        for name in names - {*fields_of(cls)}:
            slips = [field for field in fields_of(cls) if is_slip(name, field)]
            assert not [f for f in slips if len(f) in (4, len(name))], (kind, name)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("nemotron_h", "num_hidden_layers", 2),
        ("modernbert", "sliding_window", 64),
        ("resnet", "layer_types", ["basic", "bottleneck"]),
        ("emu3_text_model", "attention_bias", True),
    ],
)
def test_what_a_class_lets_a_config_set_is_a_field(kind: str, field: str, value: Any) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    pattern = {"hybrid_override_pattern": "M*"} if kind == "nemotron_h" else {}
    document = {"model_type": kind, field: value, **pattern}
    mine, theirs = taken(document), CONFIG_MAPPING[kind](**document)
    assert getattr(mine, field) == getattr(theirs, field)
    assert mine.to_json_string() == theirs.to_json_string()


OF_THE_CLASS = ("attribute_map", "sub_configs", "base_model_tp_plan", "base_model_ep_plan")


@pytest.mark.parametrize("name", [*OF_THE_CLASS, "sub_configs_defaults", "extra_files"])
def test_null_is_nothing_said_of_what_a_class_says_itself(name: str) -> None:
    assert "the class itself defines" in faults(LLAMA | VERSION | {name: {"x": "y"}})[0]
    said = planned(LLAMA | VERSION | {name: None}).plan
    assert said.files == planned(LLAMA | VERSION).plan.files and said.warnings == ()


def test_what_older_versions_worked_out_is_dropped() -> None:
    plain = taken({"model_type": "clip"}).to_json_string()
    inside = {"use_return_dict": True}
    more = taken({"model_type": "clip", "use_return_dict": False, "vision_config": inside})
    assert more.to_json_string() == plain


def test_an_unknown_field_inside_is_warned_of() -> None:
    text = {"hidden_size": 32, "num_hidden_layers": 1, "vocab_size": 99, "foo": 3}
    (warning,) = warnings({"model_type": "clip", "text_config": text})
    assert warning.startswith("architecture.config.text_config.foo: CLIPTextConfig of transform")


def test_warnings_change_nothing_of_what_is_issued() -> None:
    """But for `config.json`, which keeps the field."""
    plain = planned(LLAMA | VERSION).plan
    more = planned(LLAMA | VERSION | {"colour_of_llama": 3}).plan
    assert more.tensors == plain.tensors
    kept = json.loads(more.files["config.json"])
    assert kept.pop("colour_of_llama") == 3
    assert kept == json.loads(plain.files["config.json"])


def test_of_many_unknown_fields_the_first_are_named() -> None:
    found = warnings(LLAMA | VERSION | {f"strange{i:02}": 1 for i in range(20)})
    assert len(found) == 9
    assert found[-1] == "architecture.config: and 12 more such fields"


def test_a_preset_s_warnings_are_at_its_overrides() -> None:
    override = {"vision_config": {"foo": 3}}
    spec = {"architecture": {"type": "preset", "name": "clip-tiny", "overrides": override}}
    (warning,) = (each.message for each in make_plan(parse_spec(spec)).plan.warnings)
    assert warning.startswith("architecture.overrides.vision_config.foo: CLIPVisionConfig of ")


PUBLISHED: list[dict[str, Any]] = [
    {"model_type": "llama", "is_llama_config": True, "rope_interleaved": False},
    {"model_type": "llama", "transformers.js_config": {"kv_cache_dtype": {"q4": "float16"}}},
    {"model_type": "qwen2", "use_mrope": False},
    {"model_type": "roberta", "_num_labels": 3},
    {"model_type": "bart", "add_bias_logits": False, "normalize_before": False},
    {"model_type": "albert", "gap_size": 0, "net_structure_type": 0},
    {"model_type": "whisper", "forced_decoder_ids": [[1, 5], [2, 6]]},
    {"model_type": "bloom", "attention_softmax_in_fp32": True, "n_inner": None},
    {"model_type": "gemma2", "cache_implementation": "hybrid"},
    {"model_type": "deepseek_v3", "scoring_func": "sigmoid", "topk_method": "noaux_tc"},
    {"model_type": "modernbert", "layer_norm_eps": 1e-5, "reference_compile": None},
]


@pytest.mark.parametrize("config", PUBLISHED, ids=lambda config: config["model_type"])
def test_fields_left_in_published_configs_are_taken(config: dict[str, Any]) -> None:
    with offline():
        assert config_of(exact(config), "config", MAX_MODULES)[1] == ()


def test_fields_of_a_config_inside_may_stand_beside_it() -> None:
    flat = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 99}
    config = taken({"model_type": "qwen2_vl", "vision_config": {"depth": 2}, **flat})
    assert config.text_config.hidden_size == 64 and config.text_config.vocab_size == 99


def test_what_a_backbone_is_made_of_may_stand_beside_it() -> None:
    config = taken(
        {
            "model_type": "detr",
            "backbone": "resnet18",
            "backbone_config": None,
            "backbone_kwargs": {},
            "use_timm_backbone": True,
            "use_pretrained_backbone": False,
        }
    )
    assert config.backbone_config.backbone == "resnet18"
