"""Presets: published sizes, tiny models that run, and names in specs, routes and commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seedpoint.models import presets
from seedpoint.models.architectures.huggingface.configs import config_of
from seedpoint.models.architectures.huggingface.offline import offline
from seedpoint.models.architectures.huggingface.rotary_embeddings import in_both
from seedpoint.models.architectures.limits import MAX_MODULES
from seedpoint.models.architectures.opaque_json import exact
from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.spec.schema import parse_spec
from tests.support.presets import shipped

pytest.importorskip("transformers")

TINY = [name for name in presets.names() if presets.get(name).kind == "tiny"]
PUBLISHED = [name for name in presets.names() if presets.get(name).kind == "published"]
MAX_TINY_BYTES = 750_000

# Numbers of parameters as papers and model cards print them, apart from the presets' own data.
PRINTED = {
    "gpt2": 124_439_808,
    "gpt2-xl": 1_557_611_200,
    "llama-2-7b": 6_738_415_616,
    "llama-3-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496,
    "llama-3-405b": 405_853_388_800,
    "mistral-7b": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-8b": 8_190_735_360,
    "gemma-2-9b": 9_241_705_984,
    "gemma-3-27b": 27_432_406_640,
    # The published 671,026,419,200, where the routers' biases count: 58 layers of 256.
    "deepseek-v3": 671_026_419_200 - 58 * 256,
    "phi-3-mini": 3_821_079_552,
    "bert-base": 109_514_298,
    "roberta-large": 355_412_057,
    "t5-small": 60_506_624,
    "whisper-tiny": 37_760_640,
    "vit-base": 86_567_656,
    "resnet-50": 25_557_032,
    "clip-vit-base-patch32": 151_277_313,
    "mamba-130m": 129_135_360,
    "falcon-7b": 6_921_720_704,
    "opt-125m": 125_239_296,
    "pythia-12b": 11_846_072_320,
    "gpt-oss-20b": 20_914_757_184,
    "bart-base": 139_420_416,
    "bart-large": 406_291_456,
    "bert-large": 335_174_458,
    "bloom": 176_247_271_424,
    "bloom-560m": 559_214_592,
    "bloom-7b1": 7_069_016_064,
    "clip-vit-large-patch14": 427_616_513,
    "command-r": 34_980_831_232,
    "convnext-tiny": 28_589_128,
    "distilgpt2": 81_912_576,
    "falcon-40b": 41_303_293_952,
    "gemma-2-27b": 27_227_128_320,
    "gemma-2-2b": 2_614_341_888,
    "gemma-2b": 2_506_172_416,
    "gemma-3-12b": 12_187_325_040,
    "gemma-3-1b": 999_885_952,
    "gemma-3-270m": 268_098_176,
    "gemma-3-4b": 4_300_079_472,
    "gemma-7b": 8_537_680_896,
    "gpt-j-6b": 6_050_882_784,
    "gpt-neo-1.3b": 1_315_575_808,
    "gpt-neo-125m": 125_198_592,
    "gpt-neo-2.7b": 2_651_307_520,
    "gpt-neox-20b": 20_554_567_680,
    "gpt-oss-120b": 116_829_156_672,
    "gpt2-large": 774_030_080,
    "gpt2-medium": 354_823_168,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "mamba-2.8b": 2_768_345_600,
    "mistral-7b-v0.3": 7_248_023_552,
    "mistral-large-123b": 122_610_069_504,
    "mistral-nemo-12b": 12_247_782_400,
    "mistral-small-24b": 23_572_403_200,
    "modernbert-base": 149_655_232,
    "olmo-2-7b": 7_298_617_344,
    "olmoe-1b-7b": 6_919_161_856,
    "opt-1.3b": 1_315_758_080,
    "opt-350m": 331_196_416,
    "phi-2": 2_779_683_840,
    "phi-3-medium": 13_960_238_080,
    "phi-4": 14_659_507_200,
    "pythia-1.4b": 1_414_647_808,
    "pythia-160m": 162_322_944,
    "pythia-1b": 1_011_781_632,
    "pythia-2.8b": 2_775_208_960,
    "pythia-410m": 405_334_016,
    "pythia-6.9b": 6_857_302_016,
    "pythia-70m": 70_426_624,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-14b": 14_770_033_664,
    "qwen2.5-32b": 32_763_876_352,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-72b": 72_706_203_648,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-14b": 14_768_307_200,
    "qwen3-235b-a22b": 235_093_634_560,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-32b": 32_762_123_264,
    "qwen3-4b": 4_022_468_096,
    "resnet-101": 44_549_160,
    "resnet-152": 60_192_808,
    "resnet-18": 11_689_512,
    "roberta-base": 124_697_433,
    "smollm2-1.7b": 1_711_376_384,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "stablelm-2-1.6b": 1_644_515_328,
    "starcoder2-15b": 15_957_889_024,
    "starcoder2-3b": 3_030_371_328,
    "starcoder2-7b": 7_173_923_840,
    "swin-tiny": 28_288_354,
    "t5-3b": 2_851_598_336,
    "t5-base": 222_903_552,
    "t5-large": 737_668_096,
    "tinyllama-1.1b": 1_100_048_384,
    "vit-large": 304_326_632,
    "whisper-base": 72_593_920,
    "whisper-large-v3": 1_543_490_560,
    "whisper-medium": 763_857_920,
    "whisper-small": 241_734_912,
}


def parameters(made: Planned) -> int:
    return sum(tensor.numel for tensor in made.plan.tensors if tensor.kind == "parameter")


def issue(made: Planned, folder: Path) -> None:
    evaluator = Evaluator(made.plan, made.blobs)
    for name, file in layout(made.plan).files.items():
        out = np.empty(file.size_bytes, np.uint8)
        evaluator.read(file, 0, file.size_bytes, out)
        (folder / name).write_bytes(out.tobytes())


# --- the data ------------------------------------------------------------------------


def test_there_are_presets_of_every_family_people_test_against() -> None:
    models = {presets.get(name).architecture["config"]["model_type"] for name in TINY}
    assert len(models) >= 60 and len(PUBLISHED) >= 140
    assert set(PRINTED) <= set(PUBLISHED)


@pytest.mark.parametrize("name", PRINTED)
def test_the_data_has_the_published_number_of_parameters(name: str) -> None:
    assert presets.get(name).parameters == PRINTED[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_preset_plans_as_many_parameters_as_it_says(name: str) -> None:
    made = shipped(name)
    assert parameters(made) == presets.get(name).parameters
    assert not made.plan.warnings
    stored = {tensor.dtype.name for tensor in made.plan.tensors}
    assert presets.get(name).dtype in stored


def test_names_are_what_addresses_and_hubs_can_hold() -> None:
    for name in presets.names():
        assert name == name.lower() and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
        assert "--" not in name and not name.endswith(".")


# --- the tiny ones -------------------------------------------------------------------


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_preset_runs_and_tells_inputs_apart(name: str, tmp_path: Path) -> None:
    made = shipped(name)
    assert parameters(made) == presets.get(name).parameters
    assert layout(made.plan).files["model.safetensors"].size_bytes < MAX_TINY_BYTES
    assert len(layout(made.plan).files) <= 3
    issue(made, tmp_path)
    model = loaded(tmp_path)
    assert str(model.dtype).removeprefix("torch.") == presets.get(name).dtype
    with torch.no_grad():
        found = outputs(model(**inputs(model)))
    for what, output in found.items():
        assert torch.isfinite(output).all(), what
        one, other = output.reshape(2, -1)
        # No matter what it sees, would be 0; Whisper's positions are large beside what it hears.
        least = 0.01 if what == "encoder_last_hidden_state" else 0.05
        assert (one - other).std() > least * output.std(), what
        assert output.std() > 0.001, what  # of weights near 0, would be less


@pytest.mark.parametrize("name", TINY)
def test_the_config_issued_with_a_tiny_preset_is_a_spec_of_the_same_tensors(name: str) -> None:
    made = shipped(name)
    config = json.loads(made.plan.files["config.json"])
    again = make_plan(parse_spec({"architecture": {"type": "transformers", "config": config}}))
    assert not again.plan.warnings
    assert json.loads(again.plan.files["config.json"]) == config  # but for 0.0 written as 0
    assert again.plan.tensors == made.plan.tensors


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_config_issued_with_a_published_preset_is_one_that_is_taken(name: str) -> None:
    text = shipped(name).plan.files["config.json"]
    with offline():
        config, warnings = config_of(exact(json.loads(text)), "config", MAX_MODULES)
        written = in_both(config.to_json_string(), type(config))
        assert json.loads(written) == json.loads(text) and not warnings


def loaded(folder: Path) -> Any:
    import transformers

    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    model, found = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    wrong = ("missing_keys", "unexpected_keys", "mismatched_keys")
    assert not any(found[key] for key in wrong), found
    return model.eval()


def inputs(model: Any) -> dict[str, torch.Tensor]:
    """Two different inputs of the kind that the model's `forward` takes first."""
    config, draw = model.config, torch.Generator().manual_seed(1)
    vision = getattr(config, "vision_config", config)
    size = getattr(vision, "image_size", 64)

    def reals(*shape: int) -> torch.Tensor:
        return torch.randn(2, *shape, generator=draw).to(model.dtype)

    ids = torch.randint(5, 380, (2, 9), generator=draw)
    given: dict[str, torch.Tensor] = {"input_ids": ids}
    match model.main_input_name:
        case "pixel_values":
            given = {"pixel_values": reals(3, size, size)}
        case "input_features":
            frames = 2 * config.max_source_positions
            given = {"input_features": reals(config.num_mel_bins, frames)}
        case "input_values":
            given = {"input_values": reals(1600)}
    if config.model_type in ("clip", "siglip", "blip"):
        given = {"input_ids": ids, "pixel_values": reals(3, size, size)}
    if config.is_encoder_decoder:
        given["decoder_input_ids"] = torch.randint(5, 380, (2, 9), generator=draw)
    return given


def outputs(output: Any) -> dict[str, torch.Tensor]:
    """The model's outputs by name, with one row for each input."""
    found: dict[str, torch.Tensor] = {}
    for name, value in output.items():
        rows = isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim >= 2
        if rows and len(value) == 2:
            found[name] = value.float()
        elif hasattr(value, "items"):  # of a model inside
            found |= {f"{name}.{inner}": tensor for inner, tensor in outputs(value).items()}
    assert found
    return found
