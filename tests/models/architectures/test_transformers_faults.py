"""Configs that no checkpoint can be made of: each a problem that says what is wrong, and where."""

from __future__ import annotations

import pkgutil
import socket
from importlib import util
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from seedpoint.models.architectures import optional_libraries
from seedpoint.models.architectures.huggingface import recipe
from seedpoint.models.architectures.huggingface.counts import check_counts
from seedpoint.models.architectures.huggingface.offline import OnlineError, offline
from seedpoint.models.errors import LimitExceeded, SpecError
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.limits import Limits
from seedpoint.models.spec.schema import parse_spec
from tests.support.transformers_specs import CONFIGS, architecture, spec

LLAMA = CONFIGS["LlamaForCausalLM"]


def faults(config: Any, /, **more: Any) -> dict[str, str]:
    """The faults of a config, by path."""
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


def test_a_key_that_a_constructor_misses_is_told_as_a_key() -> None:
    message = faults(LLAMA | {"rope_scaling": {"type": "x"}})["config"]
    assert "unknown key 'x'" in message


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
    assert message.startswith("LlamaModel: has tensors of about ")
    assert message.endswith("; at most 140737488355328 are allowed")
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
    monkeypatch.setattr(socket, "socket", refused)
    for model in CONFIGS:
        make_plan(parse_spec(spec(model)))


ELSEWHERE = [
    {"model_type": "dpt", "backbone": "owner/name"},
    {"model_type": "dpt", "backbone": "https://example.org/name"},
    LLAMA | {"attn_implementation": "owner/kernel"},
    LLAMA | {"attn_implementation": "flash_attention_2"},
    LLAMA | {"_attn_implementation": "owner/kernel"},
    LLAMA | {"auto_map": {"AutoModel": "owner/name--modeling.Model"}},
    {"model_type": "timm_wrapper", "architecture": "hf-hub:owner/name"},
    {"model_type": "detr", "backbone": "hf-hub:owner/name"},
]


@pytest.mark.parametrize("config", ELSEWHERE)
def test_what_is_elsewhere_is_refused_and_no_network_asked(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]
) -> None:
    asked: list[Any] = []

    def refused(*args: Any, **_: Any) -> Any:
        asked.append(args)
        raise OSError("a socket was opened")

    for owner, name in ((socket.socket, "connect"), (socket, "getaddrinfo"), (socket, "socket")):
        monkeypatch.setattr(owner, name, refused)
    assert faults(config)
    assert not asked


@pytest.mark.parametrize("name", ["owner/name", "../config.json", "https://example.org/name"])
def test_a_config_s_own_name_is_only_a_word(name: str) -> None:
    plain = make_plan(parse_spec(spec("LlamaForCausalLM"))).plan
    document = spec("LlamaForCausalLM")
    document["architecture"] = architecture("LlamaForCausalLM", _name_or_path=name)
    named = make_plan(parse_spec(document)).plan
    assert named.files == plain.files
    assert [t.program for t in named.tensors] == [t.program for t in plain.tensors]


def test_a_config_that_wants_trained_weights_is_refused() -> None:
    with pytest.raises(OnlineError, match="nothing is downloaded"), offline():
        transformers.AutoConfig.from_pretrained("microsoft/resnet-50")


def test_without_the_extra_a_problem_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional_libraries, "is_installed", lambda _: False)
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


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("chunk_size_feed_forward", "x", "int"),
        ("is_encoder_decoder", "x", "bool"),
        ("transformers_version", 5, "str"),
        ("architectures", "LlamaForCausalLM", "list"),
        ("id2label", [1], "dict"),
        ("num_labels", True, "int"),
    ],
)
def test_fields_of_every_config_have_their_type_checked(
    field: str, value: Any, expected: str
) -> None:
    assert f"expected {expected}" in faults(LLAMA | {field: value})[f"config.{field}"]
    inside = {"model_type": "clip", "text_config": {field: value}}
    assert f"expected {expected}" in faults(inside)[f"config.text_config.{field}"]


@pytest.mark.parametrize("key", ["auto_map", "trust_remote_code", "quantization_config"])
@pytest.mark.parametrize("value", [None, False])
def test_what_is_refused_may_be_said_not_to_be_there(key: str, value: Any) -> None:
    made = make_plan(parse_spec({"architecture": architecture("LlamaForCausalLM", **{key: value})}))
    assert key not in made.plan.files["config.json"]


def test_no_kernel_is_looked_for_where_their_library_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from transformers import modeling_utils
    from transformers.integrations import hub_kernels

    for module in (modeling_utils, hub_kernels):
        monkeypatch.setattr(module, "is_kernels_available", lambda *_: True)
        with offline():
            assert not module.is_kernels_available()


@pytest.mark.parametrize("size", ["hidden_size", "num_attention_heads"])
def test_a_negative_size_is_told_as_pytorch_tells_it(size: str) -> None:
    assert "negative dimension -" in faults(LLAMA | {size: -4})["config"]


@pytest.mark.parametrize(
    ("field", "value", "least"),
    [("num_hidden_layers", -1, 0), ("num_labels", -1, 0), ("vocab_size", 0, 1)],
)
def test_there_is_no_count_below_nothing(field: str, value: int, least: int) -> None:
    expected = f"expected at least {least}, not {value}"
    assert faults(LLAMA | {field: value}) == {f"config.{field}": expected}
    inside = {"model_type": "clip", "text_config": {field: value}}
    assert faults(inside) == {f"config.text_config.{field}": expected}
    config = {"model_type": "swin", "depths": [2, -1]}
    assert faults(config) == {"config.depths": "expected at least 0, not -1"}


def test_labels_beyond_any_plan_are_not_even_named() -> None:
    document = {"architecture": architecture("LlamaForCausalLM", num_labels=2**40)}
    with pytest.raises(LimitExceeded, match="at most 1000000") as caught:
        make_plan(parse_spec(document))
    assert caught.value.faults[0].path == "architecture.config.num_labels"


def test_counts_in_a_list_are_counts() -> None:
    config = {"model_type": "swin", "depths": [2, 10**6]}
    with pytest.raises(LimitExceeded, match="at most 100000") as caught:
        make_plan(parse_spec({"architecture": {"type": "transformers", "config": config}}))
    assert caught.value.faults[0].path == "architecture.config.depths"


@pytest.mark.parametrize("field", ["num_layers", "n_layer", "l_layers", "depth", "num_blocks"])
def test_counts_go_by_many_names(field: str) -> None:
    with pytest.raises(LimitExceeded, match="at most 100"):
        check_counts({field: 101}, "config", 100)
    check_counts({field: 100}, "config", 100)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (architecture("LlamaForCausalLM", num_hidden_layers=20), "architecture.config"),
        ({"type": "preset", "name": "llama-tiny"}, "architecture.name"),
        (
            {"type": "preset", "name": "llama-tiny", "overrides": {"num_hidden_layers": 3}},
            "architecture.overrides",
        ),
    ],
)
def test_making_stops_at_the_most_modules_that_are_allowed(given: Any, path: str) -> None:
    before = nn.Module.__init__
    with pytest.raises(LimitExceeded, match="more than 21 modules") as caught:
        make_plan(parse_spec({"architecture": given}), limits=Limits(modules=21))
    assert [fault.path for fault in caught.value.faults] == [path]
    assert nn.Module.__init__ is before


def test_a_backbone_s_name_is_not_looked_up() -> None:
    message = faults({"model_type": "dpt", "backbone": "microsoft/resnet-50"})["config.backbone"]
    assert message.startswith("'microsoft/resnet-50' is a location on a hub or a disk")
    message = faults({"model_type": "dpt", "backbone": "resnet-50"})["config"]
    assert "would load 'resnet-50'" in message


class Silent(nn.Module):
    """A construction that refuses without a word."""

    def __init__(self) -> None:
        super().__init__()
        if self.training:
            raise AssertionError


def test_an_error_without_a_word_is_told_by_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = classmethod(lambda *_, **__: Silent())
    monkeypatch.setattr(transformers.LlamaModel, "_from_config", refuse)
    message = faults(LLAMA)["config"]
    assert message.startswith("LlamaModel: AssertionError at test_transformers_faults.py:")
    assert message.endswith(": raise AssertionError")


@pytest.mark.parametrize("load", ["torch.load", "numpy.load", "safetensors.torch.load_file"])
def test_a_constructor_reads_no_weights_from_a_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, load: str
) -> None:
    place = tmp_path / "weights"
    torch.save({"weight": torch.ones(3)}, place)
    function = pkgutil.resolve_name(load).__name__
    module = pkgutil.resolve_name(load.rpartition(".")[0])
    read = classmethod(lambda *_, **__: getattr(module, function)(str(place)))
    monkeypatch.setattr(transformers.LlamaModel, "_from_config", read)
    assert "nothing is downloaded or read" in faults(LLAMA)["config"]
