"""A sample of the model types of transformers: recordings run against their own construction."""

from __future__ import annotations

import pytest

from benchmarks.coverage.check import check
from benchmarks.coverage.report import section_lines
from benchmarks.coverage.shrink import configs

# Of every kind: language, vision, speech, several at once, state spaces, mixtures of experts.
_NAMES = """
albert aria audio-spectrogram-transformer bart beit bert blip bloom clap clip cohere convnext
ctrl deberta-v2 deepseek_v3 deit detr dinov2 distilbert electra ernie falcon falcon_mamba focalnet
fnet gemma gemma2 gemma3_text glm gpt2 gpt_bigcode gpt_neo gpt_neox gpt_oss gptj granite jamba
led levit llama llama4_text longformer mamba mamba2 marian mistral mixtral mobilebert mobilevit
mpnet mpt nemotron_h olmo2 opt persimmon phi3 qwen2 qwen2_moe qwen3 qwen3_next recurrent_gemma
reformer resnet roberta rwkv sam segformer siglip stablelm starcoder2 swin t5 vit vit_mae whisper
xlm-roberta xlnet xlstm
"""
SAMPLE = _NAMES.split()


@pytest.mark.parametrize("model_type", SAMPLE)
def test_a_recording_run_by_torch_is_the_models_own_construction(model_type: str) -> None:
    outcome = check(model_type)
    assert outcome.verdict == "right", outcome.detail
    assert outcome.tensors > 0


def test_configs_are_made_small_by_the_names_of_their_fields() -> None:
    first, *others = configs("llama")
    assert first["hidden_size"] == 32 and first["num_hidden_layers"] == 2
    assert first["vocab_size"] == 128 and others[-1] == {"model_type": "llama"}


def test_the_table_says_what_is_not_right() -> None:
    outcomes = [check("llama"), check("align_text_model")]
    text = "\n".join(section_lines("transformers", outcomes))
    assert "| right | 1 |" in text and "| no model | 1 |" in text and "`llama`" in text
