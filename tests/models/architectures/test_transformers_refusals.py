"""Fields that no config of any class may have: code from elsewhere, and trained weights."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file

from seedpoint.models.architectures.huggingface import configs
from seedpoint.models.architectures.huggingface.offline import OnlineError, offline
from seedpoint.models.architectures.pretrained_weights import READERS
from seedpoint.models.errors import SpecError
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from tests.support import vision
from tests.support.places import ROOT
from tests.support.transformers_specs import CONFIGS

LLAMA = CONFIGS["LlamaForCausalLM"]


def faults(config: Any) -> dict[str, str]:
    """The faults of a config, by path."""
    with pytest.raises(SpecError) as caught:
        make_plan(parse_spec({"architecture": {"type": "transformers", "config": config}}))
    found = caught.value.faults
    return {fault.path.removeprefix("architecture."): fault.message for fault in found}


def test_a_backbone_of_trained_weights_is_refused() -> None:
    for kind in ("detr", "timm_backbone"):
        config = {"model_type": kind, "backbone": "resnet18", "use_pretrained_backbone": True}
        assert "trained weights" in faults(config)["config.use_pretrained_backbone"]


@pytest.mark.parametrize("value", [True, 1, "true", [True], {"__float__": "Infinity"}])
def test_only_false_and_null_say_that_no_backbone_is_trained(value: Any) -> None:
    config = {"model_type": "detr", "backbone": "resnet18", "use_pretrained_backbone": value}
    assert "trained weights" in faults(config)["config.use_pretrained_backbone"]


TIMM_WEIGHTS = [
    ("pretrained", 1),
    ("checkpoint_path", "weights.bin"),
    ("pretrained_cfg", {"file": "weights.bin"}),
    ("pretrained_cfg_overlay", {"url": "https://example.org/weights"}),
    ("pretrained_model_args", {"checkpoint_path": "weights.bin"}),
    ("pretrained_strict", True),
    ("pretrained_filter_fn", "owner.function"),
    ("pretrained_custom_load", "hf"),
    ("cache_dir", "somewhere"),
]


@pytest.mark.parametrize(("key", "value"), TIMM_WEIGHTS)
def test_what_names_weights_of_timm_is_refused(key: str, value: Any) -> None:
    wrapper, backbone = {"model_type": "timm_wrapper"}, {"model_type": "timm_backbone"}
    for config, path in (
        *([] if key == "pretrained_cfg" else [(wrapper | {key: value}, key)]),
        (backbone | {key: value}, key),
        (wrapper | {"model_args": {key: value}}, f"model_args.{key}"),
        ({"model_type": "detr", "backbone_config": backbone | {key: value}}, None),
        ({"model_type": "detr", "backbone_kwargs": {key: value}}, f"backbone_kwargs.{key}"),
    ):
        place = f"config.{path or f'backbone_config.{key}'}"
        assert "trained weights" in faults(config)[place]


def test_a_config_of_timm_s_own_may_say_what_was_trained() -> None:
    trained = {"url": "https://example.org/weights", "input_size": [3, 224, 224]}
    config = {"model_type": "timm_wrapper", "architecture": "resnet18", "pretrained_cfg": trained}
    with offline():
        configs.config_of(config, "config", 100)


def test_weights_of_timm_may_be_said_not_to_be_there() -> None:
    said = {key: None for key, _ in TIMM_WEIGHTS} | {"pretrained": False}
    with offline():
        configs.config_of({"model_type": "timm_wrapper"} | said, "config", 100)


NAMES = ["local-dir:/srv/model", "hf-hub:owner/name", "owner/name", "/srv/model", "C:\\\\model"]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_s_name_is_no_place_on_a_hub_or_a_disk(name: str) -> None:
    inside = {"model_type": "timm_backbone", "backbone": name}
    for config, path in (
        ({"model_type": "detr", "backbone": name}, "backbone"),
        ({"model_type": "detr", "backbone_config": inside}, "backbone_config.backbone"),
        ({"model_type": "timm_wrapper", "architecture": name}, "architecture"),
        ({"model_type": "llava", "vision_config": inside}, "vision_config.backbone"),
    ):
        assert "a location on a hub or a disk" in faults(config)[f"config.{path}"]


@pytest.mark.parametrize("key", ["device", "dtype"])
def test_arguments_of_timm_say_nothing_of_where_tensors_are(key: str) -> None:
    config = {"model_type": "timm_wrapper", "model_args": {key: "meta"}}
    assert "the spec decides dtype and device" in faults(config)[f"config.model_args.{key}"]


def swallowed(after: Exception | None) -> None:
    """Try a file and go on, or end with another error, as a library may."""
    try:
        torch.load("weights.bin")
    except OnlineError:
        if after is not None:
            raise after from None


@pytest.mark.parametrize("after", [None, KeyError("another")])
def test_what_a_library_swallows_is_refused_all_the_same(after: Exception | None) -> None:
    with pytest.raises(OnlineError, match=r"would load 'weights\.bin'"), offline():
        swallowed(after)


def test_every_reader_is_there_before_it_is_replaced() -> None:
    """In a process that has imported nothing yet."""
    code = (
        "import sys\n"
        "from importlib import import_module\n"
        "from seedpoint.models.architectures.pretrained_weights import READERS, never_loaded\n"
        "with never_loaded():\n"
        "    loaded = [name for name in READERS if name in sys.modules]\n"
        "    for module in loaded:\n"
        "        for name in READERS[module]:\n"
        "            reader = getattr(sys.modules[module], name, None)\n"
        "            assert reader is None or hasattr(reader, '__wrapped__'), (module, name)\n"
        "print(*loaded)\n"
        "assert not hasattr(sys.modules['torch'].load, '__wrapped__')\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(vision.APART)])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    vision.load()
    assert loaded == set(READERS)


def test_a_module_that_a_block_imports_reads_outside_blocks_alone(tmp_path: Path) -> None:
    late = tmp_path / "late_reader.py"
    late.write_text("from safetensors import safe_open\nfrom torch import load\n")
    weights = tmp_path / "weights.safetensors"
    save_file({"w": torch.ones(2)}, weights)
    sys.path.insert(0, str(tmp_path))
    try:
        with offline():
            late_reader = importlib.import_module("late_reader")
        with late_reader.safe_open(weights, "pt") as file:
            assert list(file.keys()) == ["w"]
        for read in (late_reader.safe_open, late_reader.load):
            with pytest.raises(OnlineError, match="would load"), offline():
                read(str(weights))
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("late_reader", None)


@pytest.mark.parametrize("name", ["to_dict", "to_json_string", "__class__", "sub_configs"])
@pytest.mark.parametrize("kind", ["timm_wrapper", "timm_backbone"])
def test_no_argument_of_timm_takes_the_place_of_a_config_s_code(kind: str, name: str) -> None:
    assert "the class itself defines" in faults({"model_type": kind, name: 1})[f"config.{name}"]


def test_an_error_of_the_library_while_it_writes_a_config_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise TypeError("no text of it")

    monkeypatch.setattr(transformers.LlamaConfig, "to_json_string", fail)
    assert faults(LLAMA) == {"config": "LlamaModel: no text of it"}


@pytest.mark.parametrize("key", ["transformers_weights", "fusion_config"])
def test_what_steers_the_library_s_loader_is_refused(key: str) -> None:
    assert "the library's loader" in faults(LLAMA | {key: {"x": True}})[f"config.{key}"]
    inside = {"model_type": "clip", "text_config": {key: "x"}}
    assert "the library's loader" in faults(inside)[f"config.text_config.{key}"]


@pytest.mark.parametrize("kind", ["attn", "experts"])
@pytest.mark.parametrize(
    "form", ["{}_implementation", "_{}_implementation", "_{}_implementation_internal"]
)
@pytest.mark.parametrize(
    "value",
    [
        *("owner/kernel", "owner/kernel@main:flash", {"": "owner/kernel"}),
        *(["owner/kernel"], {"": {"": ["owner/kernel"]}}),
    ],
)
def test_a_kernel_of_a_hub_is_code_from_elsewhere(kind: str, form: str, value: Any) -> None:
    key = form.format(kind)
    assert "never run" in faults(LLAMA | {key: value})[f"config.{key}"]
    inside = {"model_type": "clip", "text_config": {key: value}}
    assert "never run" in faults(inside)[f"config.text_config.{key}"]
