"""Models of transformers: recorded, issued, and loaded by the library itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load

from seedpoint.models.architectures import catalogue
from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.planning.sequential import materialize, materialized, platform
from seedpoint.models.spec.schema import normalized, parse_spec
from tests.support.transformers_specs import CONFIGS, architecture, spec


def planned(document: dict[str, Any]) -> Planned:
    return make_plan(parse_spec(document), platform=platform())


def files(document: dict[str, Any]) -> dict[str, bytes]:
    """Every file of a spec's checkpoint."""
    made = planned(document)
    given = materialized(parse_spec(document), made) if made.plan.platform else None
    evaluator = Evaluator(made.plan, made.blobs, given)
    found = {}
    for name, file in layout(made.plan).files.items():
        out = np.empty(file.size_bytes, np.uint8)
        evaluator.read(file, 0, file.size_bytes, out)
        found[name] = out.tobytes()
    return found


def issued(document: dict[str, Any], folder: Path) -> Path:
    for name, content in files(document).items():
        (folder / name).write_bytes(content)
    return folder


def real(model: str, seed: int, **fields: Any) -> torch.nn.Module:
    """The model as its own code makes it."""
    config = dict(CONFIGS[model] | fields)
    made = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
    torch.manual_seed(seed)
    return getattr(transformers, model)._from_config(made)


def loaded(model: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    cls = getattr(transformers, model)
    module, info = cls.from_pretrained(folder, output_loading_info=True)
    return module.eval(), info


@pytest.mark.parametrize("model", CONFIGS)
def test_an_issued_directory_loads_with_every_key_in_place(model: str, tmp_path: Path) -> None:
    module, info = loaded(model, issued(spec(model), tmp_path))
    assert not any(info.values()), info
    state = load((tmp_path / "model.safetensors").read_bytes())
    for name, value in module.state_dict().items():
        if name in state:
            assert torch.equal(value, state[name]), name
    made = planned(spec(model)).plan
    for tensor in made.tensors:
        first = module.state_dict()[tensor.name]
        for alias in tensor.aliases:
            assert module.state_dict()[alias].data_ptr() == first.data_ptr()


@pytest.mark.parametrize("model", ["LlamaForCausalLM", "GPT2LMHeadModel", "MambaForCausalLM"])
def test_an_issued_language_model_generates(model: str, tmp_path: Path) -> None:
    auto = transformers.AutoModelForCausalLM.from_pretrained(issued(spec(model), tmp_path))
    assert type(auto).__name__ == model
    found = auto.generate(torch.tensor([[1, 5]]), max_new_tokens=3, do_sample=False)
    assert found.shape[0] == 1 and found.shape[1] > 2


def test_an_encoder_and_decoder_generates(tmp_path: Path) -> None:
    name = "T5ForConditionalGeneration"
    module, _ = loaded(name, issued(spec(name), tmp_path))
    assert module.generate(torch.tensor([[3, 5]]), max_new_tokens=3).shape[0] == 1


def test_a_speech_model_generates(tmp_path: Path) -> None:
    name = "WhisperForConditionalGeneration"
    module, _ = loaded(name, issued(spec(name), tmp_path))
    sound = torch.zeros(1, 80, 64)
    assert module.generate(sound, max_new_tokens=3, do_sample=False).shape[0] == 1


@pytest.mark.parametrize("model", CONFIGS)
def test_generator_torch_gives_the_bits_of_from_config(model: str) -> None:
    document = spec(model, seed=5)
    document["init"]["generator"] = "torch"
    parsed = parse_spec(document)
    found = materialize(parsed, make_plan(parsed, platform=platform()))
    state = real(model, 5).state_dict()
    assert found
    for name, value in found.items():
        assert torch.equal(value, state[name]), name


def test_generator_torch_gives_the_bits_of_from_config_in_the_configs_dtype() -> None:
    model = "LlamaForCausalLM"
    document = {
        "architecture": architecture(model, dtype="bfloat16"),
        "init": {"seed": 5, "generator": "torch"},
    }
    parsed = parse_spec(document)
    found = materialize(parsed, make_plan(parsed, platform=platform()))
    state = real(model, 5, dtype="bfloat16").state_dict()
    assert {value.dtype for value in found.values()} == {torch.bfloat16}
    assert all(torch.equal(value, state[name]) for name, value in found.items())


@pytest.mark.parametrize("model", CONFIGS)
def test_values_are_distributed_as_the_models_own(model: str) -> None:
    plan = planned(spec(model)).plan
    state = load(files(spec(model))["model.safetensors"])
    seeds = [real(model, seed).state_dict() for seed in range(4)]
    for tensor in plan.tensors:
        ours = state[tensor.name].double()
        theirs = torch.stack([seed[tensor.name].double() for seed in seeds])
        if not tensor.program.draws:
            assert torch.equal(ours, theirs[0]), tensor.name
            continue
        spread = float(theirs.std(correction=0))
        within = 6 * spread / ours.numel() ** 0.5 * 1.2
        assert abs(float(ours.mean() - theirs.mean())) <= within, tensor.name
        assert abs(float(ours.std(correction=0)) - spread) <= within, tensor.name


def test_a_dtype_is_the_configs_or_the_specs() -> None:
    model = "ViTForImageClassification"
    for document in (
        {"architecture": architecture(model, dtype="bfloat16")},
        {"architecture": architecture(model, torch_dtype="bfloat16")},
        {"architecture": architecture(model), "dtype": "bfloat16"},
        {"architecture": architecture(model, dtype="float16"), "dtype": "bfloat16"},
    ):
        plan = planned(document).plan
        assert {tensor.dtype.name for tensor in plan.tensors} == {"bfloat16"}
        assert json.loads(plan.files["config.json"])["dtype"] == "bfloat16"


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "float16", "float64"])
def test_a_directory_of_any_dtype_loads(dtype: str, tmp_path: Path) -> None:
    name = "LlamaForCausalLM"
    module, info = loaded(name, issued(spec(name, dtype=dtype), tmp_path))
    assert not any(info.values()), info
    stored = load((tmp_path / "model.safetensors").read_bytes())
    assert {str(value.dtype) for value in stored.values()} == {f"torch.{dtype}"}
    state = module.state_dict()
    assert all(torch.equal(value.to(state[key].dtype), state[key]) for key, value in stored.items())


def test_a_dtype_rounds_the_same_values_once() -> None:
    model = "MambaForCausalLM"
    wide = load(files(spec(model))["model.safetensors"])
    narrow = load(files(spec(model, dtype="bfloat16"))["model.safetensors"])
    assert all(torch.equal(wide[name].bfloat16(), value) for name, value in narrow.items())


def test_what_the_loader_keeps_in_float32_is_stored_in_it() -> None:
    config = {
        "model_type": "deepseek_v3",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 64,
        "moe_intermediate_size": 32,
        "n_routed_experts": 8,
        "n_group": 2,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "first_k_dense_replace": 1,
        "vocab_size": 96,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "v_head_dim": 8,
        "qk_nope_head_dim": 8,
        "architectures": ["DeepseekV3ForCausalLM"],
        "dtype": "bfloat16",
    }
    plan = planned({"architecture": {"type": "transformers", "config": config}}).plan
    dtypes = {tensor.name.rpartition(".")[2]: tensor.dtype.name for tensor in plan.tensors}
    assert dtypes["e_score_correction_bias"] == "float32"
    assert dtypes["weight"] == "bfloat16"


def test_a_rule_gives_norms_a_dtype_of_their_own() -> None:
    rules = [{"match": {"name": "**norm*.weight"}, "dtype": "float32"}]
    document = spec("LlamaForCausalLM", dtype={"default": "bfloat16", "rules": rules})
    for tensor in planned(document).plan.tensors:
        assert tensor.dtype.name == ("float32" if "norm" in tensor.name else "bfloat16")


def test_rules_go_over_the_models_own_init() -> None:
    document = spec("GPT2LMHeadModel")
    match = {"name": "transformer.h.*.mlp.c_proj.weight"}
    document["init"]["rules"] = [{"match": match, "initializer": {"type": "zeros"}}]
    state = load(files(document)["model.safetensors"])
    plain = load(files(spec("GPT2LMHeadModel"))["model.safetensors"])
    for name, value in state.items():
        ruled = name.endswith("mlp.c_proj.weight")
        assert torch.equal(value, torch.zeros_like(value) if ruled else plain[name])


def test_another_layer_leaves_every_other_tensor_as_it_was() -> None:
    two = load(files(spec("LlamaForCausalLM"))["model.safetensors"])
    document = {
        "architecture": architecture("LlamaForCausalLM", num_hidden_layers=3),
        "init": {"seed": 7},
    }
    three = load(files(document)["model.safetensors"])
    assert set(two) < set(three)
    assert all(torch.equal(three[name], value) for name, value in two.items())


def test_the_class_is_named_or_of_the_config_or_for_the_task_or_the_base() -> None:
    config = CONFIGS["BertForMaskedLM"]
    listed = config | {"architectures": ["BertForMaskedLM"]}
    for given, root in (
        ({"config": config}, "BertModel"),
        ({"config": config, "task": "text-classification"}, "BertForSequenceClassification"),
        ({"config": listed, "task": "text-classification"}, "BertForMaskedLM"),
        ({"config": listed, "class": "BertForTokenClassification"}, "BertForTokenClassification"),
    ):
        plan = planned({"architecture": {"type": "transformers", **given}}).plan
        assert plan.root == root
        assert json.loads(plan.files["config.json"])["architectures"] == [root]


def test_only_a_model_that_generates_has_a_generation_config() -> None:
    with_it, without = planned(spec("GPT2LMHeadModel")), planned(spec("BertForMaskedLM"))
    assert set(with_it.plan.files) == {"config.json", "generation_config.json"}
    assert set(without.plan.files) == {"config.json"}


def test_the_plan_fixes_the_small_files_too() -> None:
    plan = planned(spec("GPT2LMHeadModel")).plan
    again = Plan.from_record(plan.record)
    assert again.files == plan.files and again.id == plan.id
    changed = dict(plan.files) | {"config.json": "{}\n"}
    assert Plan.from_json({**plan.document, "files": changed}).id != plan.id


@pytest.mark.parametrize("model", CONFIGS)
def test_a_normalized_spec_plans_the_same(model: str) -> None:
    document = spec(model)
    document["architecture"]["config"] |= {"initializer_range": 1.0, "layer_norm_eps": 1e-05}
    if model in ("T5ForConditionalGeneration", "WhisperForConditionalGeneration"):
        document = spec(model)
    if model in ("LlamaForCausalLM", "MixtralForCausalLM", "GPT2LMHeadModel", "MambaForCausalLM"):
        del document["architecture"]["config"]["layer_norm_eps"]
    again = normalized(parse_spec(document))
    again = json.loads(json.dumps(again))
    assert planned(again).plan.id == planned(document).plan.id


def test_tied_tensors_are_written_once_or_each(tmp_path: Path) -> None:
    once = load(files(spec("LlamaForCausalLM"))["model.safetensors"])
    each = load(files(spec("LlamaForCausalLM", ties="each"))["model.safetensors"])
    assert set(each) - set(once) == {"lm_head.weight"}
    assert torch.equal(each["lm_head.weight"], each["model.embed_tokens.weight"])


def test_405_billion_parameters_are_planned_by_few_programs() -> None:
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "dtype": "bfloat16",
        "hidden_size": 16384,
        "intermediate_size": 53248,
        "num_hidden_layers": 126,
        "num_attention_heads": 128,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    }
    plan = planned({"architecture": {"type": "transformers", "config": config}}).plan
    assert sum(tensor.numel for tensor in plan.tensors) == 405_853_388_800
    assert len({id(tensor.program) for tensor in plan.tensors}) <= 3
    assert len(plan.document["programs"]) <= 3
    assert len(plan.record) < 300_000


def test_ten_trillion_parameters_are_planned() -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 1 << 17,
        "intermediate_size": 1 << 19,
        "num_hidden_layers": 40,
        "num_attention_heads": 64,
        "vocab_size": 96,
    }
    plan = planned({"architecture": {"type": "transformers", "config": config}}).plan
    assert sum(tensor.numel for tensor in plan.tensors) > 10**13


def test_the_catalogue_says_what_is_installed() -> None:
    (entry,) = (entry for entry in catalogue() if entry["type"] == "transformers")
    assert entry["extra"] == "transformers" and entry["installed"]
    assert planned({"architecture": entry["example"]}).plan.tensors
