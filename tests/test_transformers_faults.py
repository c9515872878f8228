"""Configs that no checkpoint can be made of: each a problem that says what is wrong, and where."""

from __future__ import annotations

import socket
from importlib import util
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from models.architectures.huggingface import library, recipe
from models.compile import make_plan
from models.errors import LimitExceeded, SpecError
from models.spec import parse_spec
from tests.transformers_specs import CONFIGS, architecture, spec

LLAMA = CONFIGS["LlamaForCausalLM"]


def faults(config: Any, /, **more: Any) -> dict[str, str]:
    """What is wrong with a config, by path."""
    document = {"architecture": {"type": "transformers", "config": config, **more}}
    with pytest.raises(SpecError) as caught:
        make_plan(parse_spec(document))
    return {
        fault.path.removeprefix("architecture."): fault.message for fault in caught.value.faults
    }


def test_an_unknown_model_type_gets_the_names_near_it() -> None:
    assert "'llama'" in faults({"model_type": "lama"})["config.model_type"]
    assert "missing" in faults({"hidden_size": 32})["config.model_type"]
    assert "string" in faults({"model_type": 3})["config.model_type"]


def test_an_unknown_field_is_no_field() -> None:
    message = faults(LLAMA | {"hidden_sizes": 3})["config.hidden_sizes"]
    assert "LlamaConfig has no such field" in message and "'hidden_size'" in message


def test_fields_of_older_configs_are_taken() -> None:
    older = {"torch_dtype": "float32", "_name_or_path": "x", "transformers_version": "4.40.0"}
    make_plan(parse_spec({"architecture": architecture("LlamaForCausalLM", **older)}))
    gpt = {"n_ctx": 64, "task_specific_params": {"text-generation": {"max_length": 50}}}
    make_plan(parse_spec({"architecture": architecture("GPT2LMHeadModel", **gpt)}))


@pytest.mark.parametrize("value", ["x", 1.5, None, [1], {"a": 1}, True])
def test_a_field_of_another_type_is_named(value: Any) -> None:
    assert "hidden_size" in faults(LLAMA | {"hidden_size": value})["config.hidden_size"]


def test_a_fault_inside_a_config_inside_a_config_has_its_place() -> None:
    config = {"model_type": "clip", "text_config": {"hidden_size": "x"}}
    assert "hidden_size" in faults(config)["config.text_config.hidden_size"]
    config = {"model_type": "clip", "vision_config": {"hiden_size": 3}}
    assert "CLIPVisionConfig" in faults(config)["config.vision_config.hiden_size"]


def test_what_a_constructor_raises_is_passed_on() -> None:
    message = faults(LLAMA | {"hidden_size": 33, "num_attention_heads": 4})["config"]
    assert "multiple of the number of attention heads" in message
    bad = CONFIGS["BertForMaskedLM"] | {"pad_token_id": 1000}
    assert "Padding_idx must be within num_embeddings" in faults(bad)["config"]


@pytest.mark.parametrize("key", ["auto_map", "trust_remote_code", "quantization_config"])
def test_remote_code_and_quantized_weights_are_refused(key: str) -> None:
    value: Any = True if key == "trust_remote_code" else {"AutoModel": "x--y.Z"}
    message = faults(LLAMA | {key: value})[f"config.{key}"]
    assert "leave it out" in message
    inside = {"model_type": "clip", "text_config": {key: value}}
    assert faults(inside)[f"config.text_config.{key}"] == message


def test_a_class_must_be_one_for_the_config() -> None:
    assert (
        "did you mean 'LlamaForCausalLM'" in faults(LLAMA, **{"class": "LlamaForCausal"})["class"]
    )
    assert "takes a BertConfig" in faults(LLAMA, **{"class": "BertModel"})["class"]
    assert "no model" in faults(LLAMA, **{"class": "AutoTokenizer"})["class"]
    listed = faults(LLAMA | {"architectures": ["NoSuchModel"]})
    assert "no model 'NoSuchModel'" in listed["config.architectures.0"]


def test_a_task_that_the_model_type_has_no_class_for_is_refused() -> None:
    assert "LlamaForCausalLM" in faults(LLAMA, task="depth-estimation")["task"]
    assert "task" in faults(LLAMA, task="cooking")


def test_dtypes_that_no_model_is_made_in_are_refused() -> None:
    for key in ("dtype", "torch_dtype"):
        assert "bfloat16" in faults(LLAMA | {key: "int4"})[f"config.{key}"]


def test_sizes_beyond_any_memory_are_told() -> None:
    message = faults(LLAMA | {"vocab_size": 2**50, "hidden_size": 2**40})["config"]
    assert "LlamaModel: no address space" in message
    assert "2^53 - 1" in faults(LLAMA | {"vocab_size": 2**60})["config.vocab_size"]


def test_more_layers_than_modules_are_allowed_are_not_even_listed() -> None:
    document = {"architecture": architecture("LlamaForCausalLM", num_hidden_layers=10**15)}
    with pytest.raises(LimitExceeded, match="at most 100000"):
        make_plan(parse_spec(document))


def test_a_config_of_a_part_names_what_it_is_a_part_of() -> None:
    assert "no base model" in faults({"model_type": "align_text_model"})["config.model_type"]


def test_nothing_is_asked_of_any_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    for model in CONFIGS:
        make_plan(parse_spec(spec(model)))


def test_a_config_that_wants_trained_weights_is_refused() -> None:
    with library.offline(), pytest.raises(library.OnlineError, match="nothing is downloaded"):
        transformers.AutoConfig.from_pretrained("microsoft/resnet-50")


def test_without_the_extra_a_problem_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "is_installed", lambda: False)
    assert "seedpoint[transformers]" in faults(LLAMA)["type"]
    assert util.find_spec("transformers") is not None


class Hidden(nn.Module):
    """A construction that looks at what it drew."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3))
        if self.weight.sum() > 0:
            nn.init.zeros_(self.weight)


class Empty(nn.Module):
    """A model without a tensor."""

    config = None


@pytest.mark.parametrize(
    ("cls", "expected"), [(Hidden, "test_transformers_faults.py:"), (Empty, "no tensors")]
)
def test_what_cannot_be_recorded_is_told_with_its_line(
    monkeypatch: pytest.MonkeyPatch, cls: type[nn.Module], expected: str
) -> None:
    monkeypatch.setattr(recipe.TransformersRecipe, "make", lambda *_: cls())
    assert expected in faults(LLAMA)["config"]
