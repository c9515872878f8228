"""Specs of small transformers models, one of each common kind."""

from __future__ import annotations

from typing import Any

_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_WIDE = _SIZES | {"intermediate_size": 64}

CONFIGS: dict[str, dict[str, Any]] = {
    "LlamaForCausalLM": {"model_type": "llama", **_WIDE, "vocab_size": 96}
    | {"num_key_value_heads": 2, "tie_word_embeddings": True},
    "GPT2LMHeadModel": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4}
    | {"vocab_size": 96, "n_positions": 64, "bos_token_id": 95, "eos_token_id": 95},
    "BertForMaskedLM": {"model_type": "bert", **_WIDE, "vocab_size": 96},
    "T5ForConditionalGeneration": {"model_type": "t5", "d_model": 32, "d_kv": 8, "d_ff": 64}
    | {"num_layers": 2, "num_heads": 4, "vocab_size": 96, "decoder_start_token_id": 0},
    "ViTForImageClassification": {"model_type": "vit", **_WIDE, "image_size": 32, "patch_size": 8},
    "WhisperForConditionalGeneration": {"model_type": "whisper", "d_model": 32, "vocab_size": 96}
    | {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4}
    | {"decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    | {"pad_token_id": 1, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 2}
    | {"max_source_positions": 32, "max_target_positions": 32},
    "MambaForCausalLM": {"model_type": "mamba", "hidden_size": 32, "num_hidden_layers": 2}
    | {"vocab_size": 96, "state_size": 8},
    "MixtralForCausalLM": {"model_type": "mixtral", **_WIDE, "vocab_size": 96}
    | {"num_key_value_heads": 2, "num_local_experts": 4},
}
BY_CLASS = CONFIGS | {"BertModel": CONFIGS["BertForMaskedLM"]}


def architecture(model: str, **fields: Any) -> dict[str, Any]:
    """Return the architecture of the class `model`, with `fields` replaced in its small config."""
    config = BY_CLASS[model] | {"architectures": [model]} | fields
    return {"type": "transformers", "config": config}


def spec(model: str, /, *, seed: int = 7, **more: Any) -> dict[str, Any]:
    """Return a spec of the class `model` with the other members `more`."""
    return {"architecture": architecture(model), "init": {"seed": seed}, **more}
