"""Models of timm and torchvision: recorded, issued, and loaded by timm itself."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.coverage.vision import check
from seedpoint.models import architectures
from seedpoint.models.architectures import parse
from seedpoint.models.architectures.vision import Timm, Torchvision
from seedpoint.models.draws import TruncNormal
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.planning.sequential import materialize, platform
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.statistics.describe import resource
from seedpoint.models.tape import record
from tests.support import vision
from tests.support.vision_plans import faults, issue, planned

# One of each kind of block, and of each way in which timm initializes; small ones where there are.
TIMM = [
    *("test_byobnet", "test_convnext", "test_efficientnet", "test_mambaout", "test_maxvit"),
    *("test_nfnet", "test_resnet", "test_vit", "test_vit_relpos", "cait_xxs24_224", "convit_tiny"),
    *("edgenext_xx_small", "ghostnet_050", "mixer_s32_224", "mobilenetv3_small_050", "pit_ti_224"),
    *(
        "pvt_v2_b0",
        "swiftformer_xs",
        "tf_efficientnet_b0",
        "levit_128s",
        "tnt_s_legacy_patch16_224",
    ),
    *("visformer_tiny", "xcit_nano_12_p16_224", "deit_tiny_distilled_patch16_224"),
]
TORCHVISION = [
    *("mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5", "googlenet", "swin_t"),
    *("ssdlite320_mobilenet_v3_large", "lraspp_mobilenet_v3_large", "mnasnet0_5"),
]


@pytest.fixture(scope="module", autouse=True)
def libraries() -> None:
    vision.load()


# --- recorded ------------------------------------------------------------------------


@pytest.mark.parametrize("model", TIMM)
def test_a_model_of_timm_replays_bit_for_bit(model: str) -> None:
    outcome = check(Timm(type="timm", model=model), model)
    assert outcome.verdict == ("partly" if model == "convit_tiny" else "right"), outcome.detail


@pytest.mark.parametrize("model", TORCHVISION)
def test_a_model_of_torchvision_replays_bit_for_bit(model: str) -> None:
    outcome = check(Torchvision(type="torchvision", model=model), model)
    assert outcome.verdict == "right", outcome.detail


def test_the_truncated_normal_of_timm_is_the_stream_s_own() -> None:
    programs = {
        t.name: t.program for t in planned({"type": "timm", "model": "test_vit"}).plan.tensors
    }
    source = programs["blocks.0.attn.qkv.weight"].source
    assert isinstance(source, TruncNormal)
    assert (source.mean, source.std, source.a, source.b) == (0.0, 0.02, -2.0, 2.0)


def test_the_scaled_truncated_normal_of_timm_is_truncated_and_then_scaled() -> None:
    from timm.layers import lecun_normal_

    def make() -> torch.nn.Module:
        layer = torch.nn.Linear(100, 8)
        lecun_normal_(layer.weight)
        return layer

    program = record(make).tensors[0].program
    assert program is not None and isinstance(program.source, TruncNormal)
    assert (program.source.std, program.source.a, program.source.b) == (1.0, -2.0, 2.0)
    assert [step.type for step in program.transforms] == ["scale", "add"]


def test_the_truncated_normal_has_the_moments_of_the_model_s_own_code() -> None:
    from timm import create_model

    made = planned({"type": "timm", "model": "test_vit"}, init={"seed": 3})
    name = "blocks.0.mlp.fc1.weight"
    index = [tensor.name for tensor in made.plan.tensors].index(name)
    out = np.empty(made.plan.tensors[index].nbytes, np.uint8)
    Evaluator(made.plan, made.blobs).fill(index, 0, made.plan.tensors[index].numel, out)
    ours = torch.from_numpy(out.view(np.float32))
    real = torch.cat(
        [
            (torch.manual_seed(seed), create_model("test_vit").state_dict()[name])[1].flatten()
            for seed in range(4)
        ]
    )
    assert abs(ours.std() / real.std() - 1) < 6 / (2 * ours.numel()) ** 0.5
    assert abs(ours.mean()) < 6 * real.std() / ours.numel() ** 0.5


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.uniform_(-0.5, 1).erfinv_().mul_(0.02 * 2**0.5).add_(0).clamp_(-2, 2),
        lambda w: w.uniform_(-1, 1).erfinv_().mul_(-0.02).add_(0).clamp_(-2, 2),
        lambda w: w.uniform_(-1, 1).erfinv_().mul_(0.02),
        lambda w: w.normal_().erfinv_().mul_(0.02).add_(0).clamp_(-2, 2),
    ],
)
def test_other_steps_are_no_truncated_normal(change: Any) -> None:
    def make() -> torch.nn.Module:
        layer = torch.nn.Linear(4, 4, bias=False)
        with torch.no_grad():
            change(layer.weight)
        return layer

    tensor = record(make).tensors[0]
    assert tensor.program is None and "erfinv" in (tensor.reason or "")


# --- issued --------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["test_vit", "test_resnet", "test_efficientnet"])
def test_timm_loads_an_issued_file(tmp_path: Path, model: str) -> None:
    from timm import create_model

    args = {"num_classes": 7, "in_chans": 1}
    made = planned({"type": "timm", "model": model, "args": args}, init={"seed": 1})
    path = issue(made, tmp_path)
    by_path = create_model(model, checkpoint_path=str(path), **args)
    by_config = create_model(f"local-dir:{tmp_path}", pretrained=True)
    for name, tensor in load_file(path).items():
        assert torch.equal(by_path.state_dict()[name], tensor)
        assert torch.equal(by_config.state_dict()[name], tensor)
    assert by_config.num_classes == 7
    with torch.no_grad():
        out = by_config.eval()(torch.randn(2, 1, *by_config.pretrained_cfg["input_size"][1:]))
    assert out.shape == (2, 7) and torch.isfinite(out).all()


def test_generator_torch_gives_what_create_model_gives() -> None:
    from timm import create_model

    document = {
        "architecture": {"type": "timm", "model": "test_vit", "args": {"num_classes": 3}},
        "init": {"seed": 11, "generator": "torch"},
    }
    spec = parse_spec(document)
    tensors = materialize(spec, make_plan(spec, platform=platform()))
    torch.manual_seed(11)
    for name, tensor in create_model("test_vit", num_classes=3).state_dict().items():
        assert torch.equal(tensors[name], tensor)


def test_generator_torch_needs_no_program() -> None:
    from timm import create_model

    document = {
        "architecture": {"type": "timm", "model": "convit_tiny", "args": {"num_classes": 2}},
        "init": {"seed": 11, "generator": "torch"},
    }
    spec = parse_spec(document)
    made = make_plan(spec, platform=platform())
    name = "blocks.0.attn.pos_proj.weight"
    shown = {tensor["name"]: tensor for tensor in resource(made.plan)["tensors"]}
    assert shown[name]["program"] == {"type": "opaque"}
    assert shown[name]["expected"] == {"mean": None, "std": None}
    tensors = materialize(spec, made)
    torch.manual_seed(11)
    for key, tensor in create_model("convit_tiny", num_classes=2).state_dict().items():
        assert torch.equal(tensors[key], tensor)
    assert Plan.from_record(made.plan.record).id == made.plan.id
    assert f"'{name}' has no own init" in faults(document["architecture"])[0]


def test_a_rule_s_transforms_follow_what_no_program_expresses() -> None:
    name = "blocks.0.attn.pos_proj.weight"
    document = {
        "architecture": {"type": "timm", "model": "convit_tiny"},
        "init": {"generator": "torch"},
    }
    scaled = {"match": {"name": name}, "transforms": [{"type": "scale", "value": 2}]}
    plain, twice = (
        parse_spec(document | {"init": document["init"] | {"rules": rules}})
        for rules in ([], [scaled | {"initializer": {"type": "own"}}])
    )
    plans = [(spec, make_plan(spec, platform=platform())) for spec in (plain, twice)]
    one, other = (materialize(*each) for each in plans)
    assert torch.equal(2 * one[name], other[name])


def test_the_config_is_what_timm_itself_writes(tmp_path: Path) -> None:
    from timm import create_model
    from timm.models import save_for_hf

    args = {"num_classes": 7}
    made = planned({"type": "timm", "model": "test_vit", "args": args})
    save_for_hf(create_model("test_vit", **args), tmp_path, model_args=args)
    written = json.loads((tmp_path / "config.json").read_text())
    assert json.loads(made.plan.files["config.json"]) == written


def test_null_is_an_argument_that_is_not_given(tmp_path: Path) -> None:
    from timm import create_model

    given = {"num_classes": None, "global_pool": None}
    made = planned({"type": "timm", "model": "test_convnext", "args": given})
    path = issue(made, tmp_path)
    again = create_model(f"local-dir:{tmp_path}", pretrained=True)
    assert again.num_classes == 1000
    assert all(torch.equal(again.state_dict()[k], v) for k, v in load_file(path).items())


def test_a_model_of_torchvision_takes_the_issued_state(tmp_path: Path) -> None:
    from torchvision.models import get_model

    made = planned({"type": "torchvision", "model": "squeezenet1_1", "args": {"num_classes": 5}})
    assert not made.plan.files
    model = get_model("squeezenet1_1", weights=None, num_classes=5)
    model.load_state_dict(load_file(issue(made, tmp_path)))


def test_the_canonical_architecture_parses_to_itself() -> None:
    document = {"type": "timm", "model": "test_vit", "args": {"num_classes": 7.0, "img_size": [64]}}
    canonical = architectures.normalized(parse(document))
    assert canonical["args"] == {"num_classes": 7, "img_size": [64]}
    assert architectures.normalized(parse(canonical)) == canonical
    assert "args" not in architectures.normalized(parse({"type": "timm", "model": "test_vit"}))


def test_a_rule_wins_and_the_dtype_is_the_spec_s() -> None:
    rules = [
        {"match": {"module": "Linear", "parameter": "weight"}, "initializer": {"type": "zeros"}}
    ]
    made = planned({"type": "timm", "model": "test_vit"}, init={"rules": rules}, dtype="bfloat16")
    by_name = {tensor.name: tensor for tensor in made.plan.tensors}
    assert by_name["head.weight"].rule == 0
    assert {tensor.dtype.name for tensor in made.plan.tensors} == {"bfloat16"}


def test_the_order_of_arguments_carries_no_meaning() -> None:
    args = {"num_classes": 3, "in_chans": 1, "img_size": 32}
    swapped = dict(reversed(args.items()))
    given = [{"type": "timm", "model": "test_vit", "args": each} for each in (args, swapped)]
    one, other = (planned(each).plan for each in given)
    assert one.id == other.id and one.files == other.files
    config = json.loads(one.files["config.json"])
    assert [name for name in config["model_args"] if name in args] == sorted(args)


def test_a_plan_is_made_again_from_its_own_spec_whatever_order_it_came_in() -> None:
    args = {"num_classes": 3, "in_chans": 1, "img_size": 32}
    document = {"architecture": {"type": "timm", "model": "test_vit", "args": args}}
    spec = parse_spec(document | {"init": {"generator": "torch"}})
    first = make_plan(spec, platform={"torch": "any"}).plan
    stored = json.loads(first.canonical.decode())["spec"]
    assert make_plan(parse_spec(stored), platform={"torch": "any"}).plan.id == first.id


@pytest.mark.parametrize("name", ["scriptable", "exportable", "no_jit"])
def test_what_is_for_timm_s_factory_is_not_the_model_s(name: str, tmp_path: Path) -> None:
    from timm import create_model

    made = planned({"type": "timm", "model": "test_vit", "args": {name: True, "num_classes": 3}})
    issue(made, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_args"]["num_classes"] == 3 and name not in config["model_args"]
    assert create_model(f"local-dir:{tmp_path}", pretrained=False).num_classes == 3


# --- bad input -----------------------------------------------------------------------


def test_the_catalogue_says_what_is_installed() -> None:
    entries = {entry["type"]: entry for entry in architectures.catalogue()}
    for name in ("timm", "torchvision"):
        assert entries[name]["extra"] == "timm" and entries[name]["installed"]
        planned(entries[name]["example"])


def test_a_recipe_makes_a_new_model_each_time() -> None:
    recipe = Timm(type="timm", model="test_vit").recipe("architecture", dtype=None, max_modules=999)
    make = partial(recipe.make, recipe.wide)
    assert make() is not make()
