"""Fields that published configs hold although their config class does not declare them."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from typing import Any

from seedpoint.models.architectures.huggingface import rotary_embeddings

# Fields of configs that versions 2 to 4 of the library wrote, beyond those of their class.
_LEGACY = frozenset(
    {
        *("_name_or_path", "name_or_path", "_commit_hash", "model_type", "torch_dtype"),
        *("attn_implementation", "output_attentions", "use_return_dict", "num_labels"),
        *("_attn_implementation", "_attn_implementation_autoset", "_flash_attn_2_enabled"),
        *("torchscript", "use_bfloat16", "tf_legacy_loss", "pruned_heads", "prefix"),
        *("is_decoder", "add_cross_attention", "cross_attention_hidden_size"),
        *("tie_encoder_decoder", "tie_word_embeddings", "finetuning_task", "tokenizer_class"),
        *("task_specific_params", "gradient_checkpointing", "use_cache"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "unk_token_id"),
        "decoder_start_token_id",
        *("_num_labels", "cache_implementation", "forced_decoder_ids", "tie_weights_"),
        # Single families: GPT, GPT-2, BERT and its successors, Mamba.
        *("n_ctx", "predict_special_tokens", "position_embedding_type", "gradient_checkpointing"),
        *("pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers"),
        *("pooler_size_per_head", "pooler_type", "directionality", "output_past"),
        *("ssm_cfg", "rms_norm", "fused_add_norm", "pad_vocab_size_multiple", "residual_in_fp32"),
        # Written by other tools: converters to other formats, training tools.
        *("transformers.js_config", "unsloth_fixed", "unsloth_version", "max_sequence_length"),
    }
)
_BART = frozenset(
    {
        *("add_bias_logits", "add_final_layer_norm", "classif_dropout", "classifier_dropout"),
        *("extra_pos_embeddings", "force_bos_token_to_be_generated", "normalize_before"),
        *("normalize_embedding", "static_position_embeddings"),
    }
)
_DETR = frozenset({"classifier_dropout", "max_position_embeddings", "scale_embedding"})
_SUMMARY = frozenset(
    f"summary_{name}" for name in ("activation", "first_dropout", "proj_to_labels", "type")
) | {"summary_use_proj"}
_WAV2VEC2 = frozenset(
    {
        *("num_feat_extract_layers", "freeze_feat_extract_train"),
        *("mask_channel_length", "mask_channel_min_space", "mask_channel_other"),
        *("mask_channel_prob", "mask_channel_selection", "no_mask_channel_overlap"),
        *("mask_time_min_space", "mask_time_other", "mask_time_selection"),
        "no_mask_time_overlap",
    }
)
# Fields in the config.json of the models' own repositories, by model type: values that the class
# derives, fields that later versions dropped, and fields that only the models' first code read.
_PUBLISHED: dict[str, frozenset[str]] = {
    "albert": frozenset(
        {"down_scale_factor", "gap_size", "net_structure_type", "num_memory_blocks"}
    ),
    "bart": _BART,
    "bloom": frozenset(
        {
            *("attention_softmax_in_fp32", "bias_dropout_fusion", "masked_softmax_fusion"),
            *("n_inner", "offset_alibi", "seq_length", "skip_bias_add", "skip_bias_add_qkv"),
        }
    ),
    "deberta-v2": frozenset({"norm_rel_ebd", "position_buckets", "share_att_key"}),
    "deepseek_v3": frozenset(
        {
            *("aux_loss_alpha", "ep_size", "moe_layer_freq", "num_nextn_predict_layers"),
            *("scoring_func", "seq_aux", "topk_method"),
        }
    ),
    "detr": _DETR,
    "falcon_mamba": frozenset({"intermediate_size", "expand"}),
    "gemma": frozenset({"hidden_activation"}),
    "gemma2": frozenset({"hidden_act"}),
    "gpt_bigcode": _SUMMARY
    | {
        *("attention_softmax_in_fp32", "inference_runner", "max_batch_size", "pad_key_length"),
        *("pre_allocate_kv_cache", "validate_runner_input"),
    },
    "gpt_oss": frozenset({"initial_context_length"}),
    "hubert": _WAV2VEC2,
    "jamba": frozenset({"mamba_inner_layernorms", "num_logits_to_keep"}),
    "llama": frozenset({"is_llama_config", "rope_interleaved"}),
    "llava": frozenset({"ignore_index", "vocab_size"}),
    "mamba": frozenset({"d_inner", "d_model", "intermediate_size", "n_layer"}),
    "mamba2": frozenset(
        {"intermediate_size", "norm_before_gate", "time_step_init_scheme", "time_step_scale"}
    ),
    "marian": _BART,
    "mbart": _BART,
    "modernbert": frozenset({"layer_norm_eps", "reference_compile", "repad_logits_with_grad"}),
    "mpt": frozenset({"init_config", "verbose"}),
    "opt": frozenset({"activation_dropout"}),
    "pegasus": _BART,
    "phi3": frozenset({"attention_bias"}),
    "qwen2": frozenset({"use_mrope"}),
    "qwen2_vl": frozenset({"vision_token_id"}),
    "qwen3_moe": frozenset({"max_window_layers"}),
    "segformer": frozenset({"downsampling_rates", "image_size"}),
    "swin": frozenset({"num_layers", "path_norm"}),
    "table-transformer": _DETR,
    "wav2vec2": _WAV2VEC2,
    "xlnet": frozenset({"untie_r"}),
    "zamba2": frozenset({"hybrid_layer_ids"}),
}
# Model types whose fields are the arguments of another library's model.
_ANY_FIELD = frozenset({"timm_wrapper", "timm_backbone"})
# Fields that a model's code reads only if they are present.
_READ = re.compile(r"getattr\(\s*(?:self\.)?config,\s*[\"'](\w+)[\"']")


def is_published(key: str, cls: Any) -> bool:
    """Return whether published configs of class `cls` have the undeclared field `key`.

    This includes fields that the model's code reads only if they are present: `getattr(config,
    "head_dim", ...)`.
    """
    left = (
        _LEGACY,
        rotary_embeddings.FIELDS,
        _generation(),
        _PUBLISHED.get(cls.model_type, ()),
        _read(cls),
    )
    return cls.model_type in _ANY_FIELD or any(key in fields for fields in left)


@cache
def _generation() -> frozenset[str]:
    """Return the names of generation parameters, which configs used to hold."""
    from transformers import GenerationConfig

    return frozenset(GenerationConfig._get_default_generation_params())


@cache
def _read(cls: Any) -> frozenset[str]:
    modeling = cls.__module__.replace(".configuration_", ".modeling_")
    found = find_spec(modeling) if modeling != cls.__module__ else None
    source = getattr(found.loader, "get_source", lambda _: None)(modeling) if found else None
    return frozenset(_READ.findall(source or ""))
