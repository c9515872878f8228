"""Small configs of every model type of transformers, derived from field names.

The rules know no model; they rely on similar names for fields of the same meaning. If a config is
too small for a model's own arithmetic, the next level shrinks fewer fields.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

Rules = tuple[tuple[str, Any], ...]

DEPTH: Rules = (
    (r"(num|n|encoder|decoder|.*_num)_(hidden_|encoder_|decoder_|.*_)?(layers?|blocks|stages?)", 2),
    (r"(num_)?(layers?|n_layers?|depth|num_encoder|num_decoder)", 2),
    (r"num_(block|conv|coupling|refinement|prediction|feature)\w*_(layers|blocks)", 2),
    (r".*(encoder|decoder|attention|num)_layers", 2),
)
WORDS: Rules = (
    (r"(\w*_)?(vocab_size|vocabulary_size|n_vocab|num_embeddings|codebook_size|n_codes)", 128),
    (r"(\w*_)?(max_position_embeddings|n_positions|max_\w*positions|max_seq_len\w*)", 64),
    (r"(num_(local_)?|n_routed_|n_|moe_num_)experts", 4),
    (r"(num_experts_per_tok|moe_k|top_k_experts|moe_topk)", 2),
)
WIDTH: Rules = (
    (
        r"(\w*_)?(hidden_size|d_model|n_embd|embed_dim|embedding_size|hidden_dim|d_embed|dim_model)",
        32,
    ),
    (r"(dim|embedding_dim|projection_dim|emb_dim|model_dim|proj_dim|n_embed|lowres_\w*dim)", 32),
    (r"(\w*_)?(intermediate_size|ffn_dim|d_ff|d_inner|n_inner|mlp_dim|ffn_hidden_size)", 64),
    (
        r"(\w*_)?(intermediate_dim|feedforward_dim|dim_feedforward|mlp_hidden_size|feed_forward_size)",
        64,
    ),
    (r"(\w*_)?(num_key_value_heads|n_kv_heads?|num_kv_heads|multi_query_group_num)", 2),
    (r"(\w*_)?(num_attention_heads|n_heads?|num_heads|attention_heads|num_\w*heads)", 4),
    (r"(\w*_)?(head_dim|d_kv|d_head|head_size|kv_channels|attention_head_size|head_width)", 8),
    (r"(q_lora_rank|kv_lora_rank|o_lora_rank)", 16),
    (r"(qk_rope_head_dim|qk_nope_head_dim|v_head_dim)", 8),
    (r"(\w*_)?state_size|mamba_d_state|ssm_state_size", 8),
    (r"n_filters|num_filters", 8),
)
ALIKE: Rules = (
    (r"(\w*_)?(num_key_value_heads|n_kv_heads?|num_kv_heads|multi_query_group_num)", 4),
    *WIDTH,
)
LEVELS: tuple[Rules, ...] = (
    *(DEPTH + WORDS + WIDTH, DEPTH + WORDS + ALIKE, WORDS + ALIKE, DEPTH + WORDS, DEPTH, WORDS, ()),
)
# Required fields without a default.
NEEDED = {"prediction_length": 8, "vocab_size": 128, "num_labels": 2}
# Additional fields that single model types need, as their error messages state.
BESIDES: dict[str, dict[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "hunyuan_vl_text": {"head_dim": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 4},
    "chameleon": {"vocabulary_map": {"<image>": 5, "IMGIMGA": 6}},
    "emu3": {"vocabulary_map": {"<image>": 5}},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "zamba": {"num_hidden_layers": 4, "layer_types": ["linear_attention", "hybrid"] * 2},
    "zamba2": {"layer_types": ["linear_attention", "hybrid"]},
    "mamba2": {"num_heads": 8},
    "gemma4_assistant": {"hidden_size_per_layer_input": 0},
    "perceiver": {"d_latents": 32, "num_latents": 16},
}
_TOKEN = re.compile(r"(\w*_)?token_(id|index)|\w*_(bos|eos|pad|sep)_id")


def configs(model_type: str) -> Iterator[dict[str, Any]]:
    """Yield configs of `model_type`, the smallest first; the last has the defaults."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    seen: list[dict[str, Any]] = []
    for rules in LEVELS:
        small = _shrunk(CONFIG_MAPPING[model_type], rules)
        config = {"model_type": model_type, **small, **BESIDES.get(model_type, {})}
        if config not in seen:
            seen.append(config)
            yield config


def _shrunk(cls: Any, rules: Rules) -> dict[str, Any]:
    """Return the fields of a config class that `rules` shrink, including nested configs."""
    found: dict[str, Any] = {}
    inner = getattr(cls, "sub_configs_defaults", {})
    for field in dataclasses.fields(cls):
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if field.name in inner:
            if (small := _inner(inner[field.name], rules)) is not None:
                found[field.name] = small
        elif (value := _small(field.name, default, rules)) is not None:
            found[field.name] = value
    return found


def _inner(spec: Any, rules: Rules) -> dict[str, Any] | None:
    from transformers.configuration_utils import PreTrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if getattr(spec, "optional", False):
        return None
    cls, named = spec.config_class, {}
    if not (isinstance(cls, type) and cls is not PreTrainedConfig and cls.__name__ != "AutoConfig"):
        if spec.model_type not in CONFIG_MAPPING:
            return None
        cls, named = CONFIG_MAPPING[spec.model_type], {"model_type": spec.model_type}
    return named | _plain(getattr(spec, "init_kwargs", {})) | _shrunk(cls, rules)


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in given.items() if isinstance(v, bool | int | float | str | list)}


def _small(name: str, default: Any, rules: Rules) -> Any:
    number = isinstance(default, int) and not isinstance(default, bool)
    if _TOKEN.fullmatch(name):
        return 1 if number and default >= 128 and rules and rules is not DEPTH else None
    if default is None and name in NEEDED:
        return NEEDED[name]
    for pattern, value in rules:
        if re.fullmatch(pattern, name):
            return value if number and default > value else None
    return None
