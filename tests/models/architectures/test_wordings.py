"""Rotary embeddings in config.json, as versions 4 and 5 of the library name them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from seedpoint.models.architectures.huggingface.rotary_embeddings import in_both
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from tests.support.transformers_specs import CONFIGS

pytest.importorskip("transformers")

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
FACTORS = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
DEFAULT = {"rope_type": "default"}


def written(kind: str, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The text that is issued of a config, and the text that the library alone writes."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = CONFIG_MAPPING[kind](**fields)
    text = config.to_json_string(use_diff=True)
    return json.loads(in_both(text, type(config))), json.loads(text)


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("llama", {"rope_parameters": DEFAULT | {"rope_theta": 5e5}}, {"rope_theta": 5e5}),
        (
            "llama",
            {"rope_parameters": LLAMA3 | {"rope_theta": 5e5}},
            {"rope_theta": 5e5, "rope_scaling": LLAMA3},
        ),
        (
            "stablelm",
            {"rope_parameters": DEFAULT | {"rope_theta": 1e4, "partial_rotary_factor": 0.5}},
            {"rope_theta": 1e4, "partial_rotary_factor": 0.5},
        ),
        (
            "gpt_neox",
            {"rope_parameters": DEFAULT | {"rope_theta": 2e4, "partial_rotary_factor": 0.5}},
            {"rotary_emb_base": 2e4, "rotary_pct": 0.5},
        ),
        (
            "gemma3_text",
            {
                "rope_parameters": {
                    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                    "sliding_attention": DEFAULT | {"rope_theta": 2e4},
                }
            },
            {
                "rope_theta": 1e6,
                "rope_local_base_freq": 2e4,
                "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            },
        ),
        (
            "modernbert",
            {
                "rope_parameters": {
                    "full_attention": DEFAULT | {"rope_theta": 1e6},
                    "sliding_attention": DEFAULT | {"rope_theta": 2e4},
                }
            },
            {"global_rope_theta": 1e6, "local_rope_theta": 2e4},
        ),
        (
            "phi3",
            {
                "hidden_size": 32,
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
                "original_max_position_embeddings": 64,
                "rope_parameters": FACTORS | {"rope_type": "longrope", "rope_theta": 1e4},
            },
            {
                "rope_theta": 1e4,
                "partial_rotary_factor": 1.0,
                "rope_scaling": FACTORS | {"type": "longrope"},
            },
        ),
    ],
)
def test_version_4_s_fields_stand_beside_version_5_s(
    kind: str, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    both, alone = written(kind, **fields)
    assert {name: value for name, value in both.items() if name not in alone} == expected
    assert {name: both[name] for name in alone} == alone


def test_a_config_inside_another_has_its_own() -> None:
    inner = {"model_type": "llama", "rope_parameters": DEFAULT | {"rope_theta": 5e5}}
    both, _ = written("llava", text_config=inner)
    assert both["text_config"]["rope_theta"] == 5e5
    assert "rope_theta" not in both


def test_a_config_without_rotary_embeddings_stays_as_it_is() -> None:
    from transformers import GPT2Config

    text = GPT2Config().to_json_string(use_diff=True)
    assert in_both(text, GPT2Config) is text


def test_version_5_reads_every_type_as_it_did() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    changed = 0
    for kind in ("llama", "gemma3", "gemma3n", "modernbert", "qwen2_vl", "olmo3", "falcon", "glm"):
        cls = CONFIG_MAPPING[kind]
        text = cls().to_json_string(use_diff=True)
        again = in_both(text, cls)
        changed += again != text
        assert (
            cls.from_dict(json.loads(again)).to_dict() == cls.from_dict(json.loads(text)).to_dict()
        )
    assert changed >= 7


def test_an_issued_config_can_be_sent_again() -> None:
    def plan(config: dict[str, Any]) -> Any:
        spec = {"architecture": {"type": "transformers", "config": config}}
        return make_plan(parse_spec(spec)).plan

    issued = plan(CONFIGS["LlamaForCausalLM"] | {"rope_parameters": LLAMA3 | {"rope_theta": 5e5}})
    document = json.loads(issued.files["config.json"])
    assert document["rope_theta"] == 5e5
    again = plan(document)
    assert json.loads(again.files["config.json"]) == document
    assert not again.warnings


@pytest.mark.parametrize(("rescaled", "count"), [(True, 1), (False, 0)])
def test_weights_that_loading_divides_again_are_warned_of(rescaled: bool, count: int) -> None:
    config = {
        "model_type": "mamba",
        "hidden_size": 16,
        "state_size": 4,
        "num_hidden_layers": 4,
        "vocab_size": 32,
        "rescale_prenorm_residual": rescaled,
    }
    spec = {"architecture": {"type": "transformers", "config": config}}
    warnings = [warning.message for warning in make_plan(parse_spec(spec)).plan.warnings]
    assert len(warnings) == count
    for warning in warnings:
        assert warning.startswith("architecture.config.rescale_prenorm_residual: the files hold")
        assert "by sqrt(num_hidden_layers) once more" in warning
