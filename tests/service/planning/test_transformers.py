"""Models of transformers, issued by the service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from tests.support.problems import assert_problem
from tests.support.running import Running
from tests.support.transformers_specs import CONFIGS, architecture, spec


@pytest.mark.parametrize("model", ["LlamaForCausalLM", "GPT2LMHeadModel"])
def test_the_files_of_an_issued_model_load_again(
    service: Running, model: str, tmp_path: Path
) -> None:
    answer = service.issue(spec(model))
    assert answer.status_code in (200, 201), answer.text
    links = answer.json()["links"]["files"]
    assert list(links) == ["model.safetensors", "config.json", "generation_config.json"]
    for name, link in links.items():
        (tmp_path / name).write_bytes(service.http.get(link).content)
    module, info = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert type(module).__name__ == model
    assert not any(info.values()), info


@pytest.mark.parametrize("model", CONFIGS)
def test_a_sharded_model_is_downloaded_and_loads_again(
    service: Running, model: str, tmp_path: Path
) -> None:
    answer = service.issue(spec(model, max_shard_size=20_000))
    assert answer.status_code in (200, 201), answer.text
    links = answer.json()["links"]["files"]
    assert "model.safetensors.index.json" in links and "model.safetensors" not in links
    for name, link in links.items():
        (tmp_path / name).write_bytes(service.http.get(link).content)
    module, info = getattr(transformers, model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    state = module.state_dict()
    aliases = {t["name"]: t["aliases"] for t in answer.json()["tensors"]}
    for name, others in aliases.items():
        assert all(state[other].data_ptr() == state[name].data_ptr() for other in others)
    given = transformers.AutoConfig.from_pretrained(tmp_path)
    assert bool(getattr(given, "tie_word_embeddings", False)) >= any(aliases.values())
    if module.can_generate() and "Whisper" not in model:
        found = module.generate(torch.tensor([[1, 5]]), max_new_tokens=3, do_sample=False)
        assert found.shape[0] == 1 and found.shape[1] > 1


def test_config_json_is_a_file_like_any_other(service: Running) -> None:
    links = service.issue(spec("BertForMaskedLM")).json()["links"]["files"]
    whole = service.http.get(links["config.json"])
    assert whole.headers["content-type"].startswith("application/json")
    assert json.loads(whole.content)["architectures"] == ["BertForMaskedLM"]
    part = service.http.get(links["config.json"], headers={"Range": "bytes=2-9"})
    assert part.status_code == 206 and part.content == whole.content[2:10]


def test_the_weights_can_be_had_as_one_body(service: Running) -> None:
    whole = service.issue(spec("BertForMaskedLM"), Accept="application/octet-stream")
    assert whole.status_code in (200, 201)
    assert whole.headers["content-location"].endswith("/files/model.safetensors")


def test_a_faulty_config_is_a_problem_at_its_place(service: Running) -> None:
    document = {"architecture": architecture("LlamaForCausalLM", hidden_sizes=3)}
    problem = service.issue(document)
    found = assert_problem(problem, 422)
    assert [e["path"] for e in found["errors"]] == ["architecture.config.hidden_sizes"]


def test_a_seed_or_a_dtype_later_the_recording_is_still_right(service: Running) -> None:
    for dtype, code in (("float32", "F32"), ("bfloat16", "BF16"), ("float32", "F32")):
        answer = service.issue(spec("LlamaForCausalLM", seed=11, dtype=dtype)).json()
        assert list(answer["totals"]["by_dtype"]) == [code]
        config = service.http.get(answer["links"]["files"]["config.json"]).json()
        assert config["dtype"] == dtype


def test_405_billion_parameters_are_issued(service: Running) -> None:
    config = {
        "hidden_size": 16384,
        "intermediate_size": 53248,
        "num_hidden_layers": 126,
        "num_attention_heads": 128,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "dtype": "bfloat16",
        "tie_word_embeddings": False,
    }
    answer = service.issue({"architecture": architecture("LlamaForCausalLM", **config)}).json()
    assert answer["totals"]["parameters"] == 405_853_388_800
    link = answer["links"]["files"]["model-00009-of-00017.safetensors"]
    part = service.http.get(link, headers={"Range": "bytes=40000000000-40000000063"})
    assert part.status_code == 206 and len(part.content) == 64
