"""Issued directories give one result under both major versions of transformers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedpoint.models import presets
from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from tests.support.clients import left_out, needed, run

pytestmark = pytest.mark.timeout(900)  # two minutes of work for all, once

PREVIOUS = Path(sys.prefix) / "previous"
MAX_BYTES = 8 << 20  # of weights; presets of published sizes are left out by it

# What version 4.57 cannot load or run, and its own words.
META = "Tensor on device cpu is not on the expected device meta"
REFUSED = {
    "mamba2-tiny": "clamp()",
    "qwen3-moe-tiny": "size mismatch",
    "camembert-tiny": META,
    "xlm-roberta-tiny": META,
}
# Models whose tensors version 4.57 names otherwise: it says so, and makes them anew.
RENAMED = frozenset(
    {
        *(
            "beit-tiny",
            "deit-tiny",
            "dinov2-tiny",
            "segformer-tiny",
            "swin-tiny-random",
            "vit-tiny",
        ),
        *("deepseek-v2-tiny", "deepseek-v3-tiny", "mixtral-tiny", "olmoe-tiny", "qwen2-moe-tiny"),
        "gpt-neox-tiny",
    }
)
# Models whose code differs: 4.57 scales the output where embeddings are tied, 5 does not.
OTHERWISE = frozenset({"mt5-tiny"})

RESULTS = """
import json, os, sys
import numpy as np
import torch
import transformers

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)
LATEST = int(transformers.__version__.split(".")[0]) >= 5
generator = torch.Generator()


def inputs(model, config):
    generator.manual_seed(0)
    kind, main = config.model_type, model.main_input_name
    text = config.get_text_config()
    words = min(90, getattr(text, "vocab_size", 90))
    tokens = torch.randint(5, words, (2, 24), generator=generator)
    vision = getattr(config, "vision_config", config)
    size = getattr(vision, "image_size", None) or 64
    size = [size, size] if isinstance(size, int) else size
    pixels = torch.randn(2, getattr(vision, "num_channels", 3), *size, generator=generator)
    waves = torch.randn(2, 4000, generator=generator)
    if kind in ("clip", "siglip", "blip"):
        return {"input_ids": tokens[:, :16], "pixel_values": pixels}
    if main == "pixel_values":
        return {main: pixels}
    if main == "input_features":
        frames = 2 * config.max_source_positions
        sound = torch.randn(2, config.num_mel_bins, frames, generator=generator)
        return {main: sound, "decoder_input_ids": tokens[:, :10]}
    if main == "input_values":
        return {main: waves}
    more = {"decoder_input_ids": tokens[:, :10]} if config.is_encoder_decoder else {}
    return {main: tokens, **more}


found, told = {}, {}
for folder in sys.argv[2:]:
    name = os.path.basename(folder)
    with open(folder + "/config.json") as file:
        cls = getattr(transformers, json.load(file)["architectures"][0])
    try:
        options = {"dtype": torch.float32} if LATEST else {}  # what version 4 gives by itself
        model, info = cls.from_pretrained(folder, output_loading_info=True, **options)
        config = model.config
        rope = [getattr(config, "rope_theta", None), getattr(config, "partial_rotary_factor", None)]
        told[name] = {"missing": sorted(info["missing_keys"]), "rope": rope}
        with torch.no_grad():
            result = model.eval()(**inputs(model, config))
        tensors = [value for value in result.values() if isinstance(value, torch.Tensor)]
        found[name] = np.concatenate([tensor.float().numpy().ravel() for tensor in tensors])
    except Exception as error:
        told[name] = {"error": f"{type(error).__name__}: {error}"}
np.savez(sys.argv[1], **found)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of every tiny preset of transformers, each in a directory of its own."""
    needed("transformers")
    if not PREVIOUS.is_dir():
        left_out("the previous major versions are not installed")
    root = tmp_path_factory.mktemp("presets")
    found = {}
    for name in presets.names():
        if "tiny" not in name:
            continue
        made = make_plan(parse_spec(presets.spec(name)))
        small = sum(tensor.nbytes for tensor in made.plan.tensors) <= MAX_BYTES
        if not small or "config.json" not in made.plan.files:
            continue
        found[name] = root / name
        found[name].mkdir()
        evaluator = Evaluator(made.plan, made.blobs)
        for file in layout(made.plan).files.values():
            out = np.empty(file.size_bytes, np.uint8)
            evaluator.read(file, 0, file.size_bytes, out)
            (found[name] / file.name).write_bytes(out.tobytes())
    return found


Results = tuple[dict[str, Any], dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def results(
    folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Results, Results]:
    """Messages and outputs of version 4.57 and of today's for each preset."""

    def of(path: dict[str, str]) -> Results:
        out = tmp_path_factory.mktemp("results") / "outputs.npz"
        offline = {"HF_HUB_OFFLINE": "1", "PYTHONSAFEPATH": "1", "CUDA_VISIBLE_DEVICES": ""}
        said = run(
            *(sys.executable, "-c", RESULTS, str(out), *map(str, folders.values())),
            cwd=out.parent,
            timeout_seconds=500,
            **path,
            **offline,
        )
        return json.loads(said.splitlines()[-1]), dict(np.load(out))

    return of({"PYTHONPATH": str(PREVIOUS)}), of({})


def test_both_majors_compute_the_same(results: tuple[Results, Results]) -> None:
    (before, theirs), (now, ours) = results
    assert len(ours) > 60, now
    assert ours.keys() == now.keys()
    compared = ours.keys() - REFUSED.keys() - RENAMED - OTHERWISE
    for name in compared:
        assert name in theirs, (name, before[name])
        error = np.abs(theirs[name] - ours[name]).max()
        assert error <= 1e-4 * np.abs(ours[name]).max(), (name, error)


def test_what_the_previous_major_cannot_compute_it_tells(results: tuple[Results, Results]) -> None:
    (before, theirs), _ = results
    for name, words in REFUSED.items():
        assert words in before[name]["error"], before[name]
    for name in RENAMED:
        assert before[name]["missing"], name
    for name in OTHERWISE:
        assert name in theirs
        assert not before[name]["missing"]


def test_the_previous_major_reads_the_rotary_embeddings_of_what_it_renamed(
    results: tuple[Results, Results], folders: dict[str, Path]
) -> None:
    (before, _), _ = results
    seen = 0
    for name in RENAMED:
        parameters = json.loads((folders[name] / "config.json").read_text()).get("rope_parameters")
        if parameters is not None:
            theta, factor = before[name]["rope"]
            assert theta == parameters["rope_theta"], name
            assert factor == parameters.get("partial_rotary_factor"), name
            seen += 1
    assert seen >= 5
