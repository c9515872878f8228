"""Models of timm and torchvision: recorded, issued, and loaded by timm itself."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.coverage.vision import check
from seedpoint.models import architectures
from seedpoint.models.architectures import optional_libraries, parse
from seedpoint.models.architectures.vision import Timm, Torchvision
from seedpoint.models.draws import TruncNormal
from seedpoint.models.errors import LimitExceeded, SpecError
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.describe import layout, resource
from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.planning.sequential import materialize, platform
from seedpoint.models.spec.limits import Limits
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.tape import record
from tests.support import vision

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


def planned(architecture: dict[str, Any], **more: Any) -> Planned:
    return make_plan(parse_spec({"architecture": architecture, **more}), platform=platform())


def issue(made: Planned, folder: Path) -> Path:
    """Writes every file of a plan; the path of its weights."""
    evaluator = Evaluator(made.plan, made.blobs)
    for name, file in layout(made.plan).files.items():
        out = np.empty(file.size_bytes, np.uint8)
        evaluator.read(file, 0, file.size_bytes, out)
        (folder / name).write_bytes(out.tobytes())
    return folder / "model.safetensors"


def faults(architecture: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        planned(architecture, **more)
    return [str(fault) for fault in caught.value.faults]


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


def test_the_catalogue_says_what_is_installed() -> None:
    entries = {entry["type"]: entry for entry in architectures.catalogue()}
    for name in ("timm", "torchvision"):
        assert entries[name]["extra"] == "timm" and entries[name]["installed"]
        planned(entries[name]["example"])


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


def test_a_recipe_makes_a_new_model_each_time() -> None:
    recipe = Timm(type="timm", model="test_vit").recipe("architecture", dtype=None, max_modules=999)
    make = partial(recipe.make, recipe.wide)
    assert make() is not make()
