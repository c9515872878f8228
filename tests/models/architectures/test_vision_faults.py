"""Models of timm and torchvision that cannot be made, or not here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from seedpoint.models.architectures import optional_libraries
from seedpoint.models.errors import LimitExceeded
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.limits import Limits
from seedpoint.models.spec.schema import parse_spec
from tests.support import vision
from tests.support.vision_plans import faults, planned


@pytest.fixture(scope="module", autouse=True)
def libraries() -> None:
    vision.load()


@pytest.mark.parametrize(
    ("architecture", "fault"),
    [
        ({"model": "resnt18"}, "model: timm has no model 'resnt18'; did you mean 'resnet18'"),
        ({"model": "test_vit.x"}, "model: Invalid pretrained tag (x) for test_vit"),
        ({"model": "hf-hub:a/b"}, "model: 'hf-hub:a/b' is a location on a hub or a disk"),
        ({"model": "local-dir:x"}, "model: 'local-dir:x' is a location on a hub or a disk"),
        ({"args": {"pretrained": True}}, "args.pretrained: it is for trained weights"),
        ({"args": {"pretrained": False}}, "args.pretrained: it is for trained weights"),
        ({"args": {"checkpoint_path": "x"}}, "args.checkpoint_path: it is for trained weights"),
        ({"args": {"pretrained_cfg": {"url": "x"}}}, "args.pretrained_cfg: it is for trained"),
        ({"args": {"dtype": "float16"}}, "args.dtype: the spec decides dtype"),
        ({"args": {"num_clases": 1}}, "args.num_clases: VisionTransformer.__init__() got an unex"),
        ({"args": {"num_classes": "x"}}, "args: "),
        ({"args": {"depth": 2**40}}, "args.depth: 1099511627776 modules are too many"),
        ({"args": {"embed_dim": 2**52}}, "args: has tensors of about "),
        ({"args": {"embed_dim": 2**54}}, "args.embed_dim: expected a number up to 2^53 - 1"),
        ({"pretrained": True}, "pretrained: unknown argument"),
        ({"args": {"weight_init": "x"}}, "args: AssertionError at vision_transformer.py:"),
        ({"model": "resnet18", "args": {"output_stride": 7}}, "args: AssertionError at resnet.py"),
        ({"args": {"embed_dim": -64}}, "args: "),
        ({"args": {"num_classes": -2}}, "args.num_classes: expected at least 0, not -2"),
        ({"args": {"depth": -1}}, "args.depth: expected at least 0, not -1"),
        (
            {"model": "hrnet_w18_small", "args": {"num_classes": "x", "features_only": [1]}},
            "args: Export argument num_classes=x disagrees",
        ),
    ],
)
def test_a_bad_model_of_timm_is_a_problem_at_its_place(
    architecture: dict[str, Any], fault: str
) -> None:
    found = faults({"type": "timm", "model": "test_vit"} | architecture)
    assert found[0].startswith(f"architecture.{fault}")


@pytest.mark.parametrize(
    ("architecture", "fault"),
    [
        ({"model": "resnet-18"}, "model: torchvision has no model 'resnet-18'; did you mean 'resn"),
        ({"args": {"weights": "DEFAULT"}}, "args.weights: it is for trained weights"),
        ({"args": {"weights_backbone": "DEFAULT"}}, "args.weights_backbone: it is for trained"),
        ({"args": {"quantize": True}}, "args.quantize: quantized weights are made from trained"),
        ({"args": {"num_classes": -2}}, "args.num_classes: expected at least 0, not -2"),
        ({"args": {"foo": 1}}, "args.foo: SqueezeNet.__init__() got an unexpected keyword"),
    ],
)
def test_a_bad_model_of_torchvision_is_a_problem_at_its_place(
    architecture: dict[str, Any], fault: str
) -> None:
    found = faults({"type": "torchvision", "model": "squeezenet1_1"} | architecture)
    assert found[0].startswith(f"architecture.{fault}")


@pytest.mark.parametrize("name", ["timm", "torchvision"])
def test_without_the_library_a_problem_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(optional_libraries, "is_installed", lambda _: False)
    message = f"architecture.type: {name} is not installed here; install the extra: "
    assert faults({"type": name, "model": "resnet18"}) == [
        f"{message}pip install 'seedpoint[timm]'"
    ]


def test_a_backbone_s_weights_are_never_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("asked for weights")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", asked)
    made = planned({"type": "torchvision", "model": "lraspp_mobilenet_v3_large"})
    assert any(tensor.name.startswith("backbone.") for tensor in made.plan.tensors)


def test_a_config_of_transformers_cannot_make_timm_read_a_file(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from safetensors.torch import save_file
    from timm import create_model

    state = create_model("test_vit", num_classes=0).state_dict()
    torch.save(state, tmp_path / "w.pth")
    save_file(state, tmp_path / "w.safetensors")
    (tmp_path / "config.json").write_text('{"architecture": "test_vit"}')
    names = ("w.pth", "w.safetensors", "no-such-file")
    configs = [
        {"architecture": f"local-dir:{tmp_path}"},
        {"architecture": "hf-hub:owner/name"},
        *(
            {"architecture": "test_vit", "model_args": {"checkpoint_path": str(tmp_path / name)}}
            for name in names
        ),
    ]
    code = (
        "import json, sys; sys.path.append(sys.argv[1])\n"
        "from seedpoint.models.planning.compiler import make_plan\n"
        "from seedpoint.models.errors import SpecError\n"
        "from seedpoint.models.spec.schema import parse_spec\n"
        "for fields in json.loads(sys.argv[2]):\n"
        "    config = {'model_type': 'timm_wrapper', **fields}\n"
        "    spec = {'architecture': {'type': 'transformers', 'config': config}}\n"
        "    try: make_plan(parse_spec(spec))\n"
        "    except SpecError as error: print(error)\n"
        "    else: print('it was planned')\n"
    )
    command = [sys.executable, "-c", code, str(vision.APART), json.dumps(configs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(configs)
    for line in lines:
        place = "architecture.config.architecture: "
        named = "architecture.config.model_args.checkpoint_path: "
        assert line.startswith((place, named)), line
        assert "a location on a hub or a disk" in line or "trained weights" in line, line


def test_too_many_modules_are_told_before_they_are_all_made() -> None:
    spec = parse_spec({"architecture": {"type": "timm", "model": "resnet18"}})
    with pytest.raises(LimitExceeded, match=r"architecture\.model.* more than 30 modules"):
        make_plan(spec, limits=Limits(modules=30))


def test_any_build_of_torchvision_lets_transformers_be_imported() -> None:
    code = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "from seedpoint.models.spec.schema import parse_spec\n"
        "from seedpoint.models.planning.compiler import make_plan\n"
        "spec = {'architecture': {'type': 'preset', 'name': 'gpt2-tiny'}}\n"
        "print(len(make_plan(parse_spec(spec)).plan.tensors))\n"
    )
    pytest.importorskip("transformers")
    command = [sys.executable, "-c", code, str(vision.APART)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "28", done.stderr


def test_what_workers_are_forked_from_imports_transformers_beside_any_torchvision() -> None:
    from seedpoint.service.workers.forkserver import PRELOAD

    pytest.importorskip("transformers")
    code = "import importlib, sys; sys.path.append(sys.argv[1]); "
    code += "[importlib.import_module(name) for name in sys.argv[2:]]"
    command = [sys.executable, "-c", code, str(vision.APART), *PRELOAD]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
