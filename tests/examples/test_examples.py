"""Each example against the PyTorch code it mirrors.

Under generators `torch` and `numpy` the bits are compared; under `philox-v1` the
distributions, and the SHA-256 of the file, which must never change.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_model
from scipy import stats
from torch import nn

from benchmarks.obvious import GPT2
from tests.support.examples import SEED, assert_same_bits, by, example, file_bytes, sequential
from tests.support.places import EXAMPLES, GOLDEN

SHA256 = GOLDEN / "examples_sha256.json"


# --- 4: the small CNN -----------------------------------------------------------------


class CNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def conv(i: int, o: int) -> nn.Conv2d:
            return nn.Conv2d(i, o, 3, 1, padding=1)

        layer1 = nn.Sequential()
        layer1.add_module("conv1", conv(3, 32))
        layer1.add_module("relu1", nn.ReLU(True))
        layer1.add_module("pool1", nn.MaxPool2d(2, 2))
        self.layer1 = layer1
        layer1.add_module("conv2", conv(32, 64))
        layer2 = nn.Sequential()
        layer2.add_module("relu2", nn.ReLU(True))
        layer2.add_module("pool2", nn.MaxPool2d(2, 2))
        self.layer2 = layer2
        layer3 = nn.Sequential()
        layer3.add_module("conv3", conv(64, 128))
        layer3.add_module("relu3", nn.ReLU(True))
        layer3.add_module("pool3", nn.MaxPool2d(2, 2))
        self.layer3 = layer3
        layer4 = nn.Sequential()
        layer4.add_module("fc1", nn.Linear(2048, 512))
        layer4.add_module("fc_relu1", nn.ReLU(True))
        layer4.add_module("fc2 ", nn.Linear(512, 64))
        layer4.add_module("fc_relu2", nn.ReLU(True))
        layer4.add_module("fc3", nn.Linear(64, 10))
        self.layer4 = layer4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer3(self.layer2(self.layer1(x)))
        result: torch.Tensor = self.layer4(x.view(x.size(0), -1))
        return result


INITS: dict[str, list[Callable[[torch.Tensor], Any]]] = {
    "cnn_normal": [nn.init.normal_],
    "cnn_xavier": [nn.init.xavier_normal_],
    "cnn_kaiming": [nn.init.kaiming_normal_],
    "cnn_sequence": [nn.init.normal_, nn.init.xavier_normal_, nn.init.kaiming_normal_],
}


@pytest.mark.parametrize("name", INITS)
def test_the_small_cnn(name: str) -> None:
    torch.manual_seed(SEED)
    net = CNN()

    def weights_init(m: nn.Module) -> None:
        if isinstance(m, nn.Conv2d):
            for init in INITS[name]:
                init(m.weight.data)
            m.bias.data.fill_(0)
        elif isinstance(m, nn.Linear):
            m.weight.data.normal_()

    net.apply(weights_init)
    found = sequential(by(name, "torch"))
    assert_same_bits(found, net)
    assert "layer4.fc2 .weight" in found
    assert not net.load_state_dict(load(file_bytes(example(name)))).missing_keys
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


# --- 5: the shared Linear ----------------------------------------------------------------


def shared() -> nn.Sequential:
    first, layer = nn.Linear(4, 8), nn.Linear(8, 8)
    return nn.Sequential(first, nn.ReLU(), layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(8, 1))


def test_a_shared_layer_is_stored_once_and_load_model_puts_it_back(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(file_bytes(example("shared")))
    issued = load(path.read_bytes())
    assert "2.weight" in issued and "4.weight" not in issued
    net = shared()
    assert load_model(net, str(path)) == (set(), [])
    assert torch.equal(net[2].weight, issued["2.weight"])
    net[2].weight.data[0, 0] = 100
    assert net[4].weight[0, 0] == 100


def test_a_shared_layer_copied_under_each_name() -> None:
    issued = load(file_bytes(example("shared_each")))
    assert torch.equal(issued["2.weight"], issued["4.weight"])
    shared().load_state_dict(issued, strict=True)


def test_one_element_of_a_shared_layer_set() -> None:
    issued = load(file_bytes(example("shared_set")))["2.weight"]
    plain = load(file_bytes(example("shared")))["2.weight"]
    assert issued[0, 0] == 100
    assert torch.equal(issued.reshape(-1)[1:], plain.reshape(-1)[1:])


@pytest.mark.parametrize("name", ["shared", "shared_set"])
def test_a_shared_layer_under_generator_torch(name: str) -> None:
    torch.manual_seed(SEED)
    net = shared()
    if name == "shared_set":
        net[2].weight.data[0, 0] = 100
    assert_same_bits(sequential(by(name, "torch")), net)


# --- 6: Custom -----------------------------------------------------------------------------


class MyLinear(nn.Module):
    def __init__(self, in_units: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(in_units, units))
        self.bias = nn.Parameter(torch.randn(units))


class MLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(20, 256)
        self.output = nn.Linear(256, 10)


def test_time_steps_uniform_in_the_exponent() -> None:
    torch.manual_seed(SEED)
    out = nn.Linear(256, 64)
    script = torch.exp(torch.empty(256).uniform_(math.log(0.001), math.log(0.1)))
    found = sequential(by("time_steps", "torch"))
    assert torch.equal(found["mixer.time_step"], script)
    assert torch.equal(found["out.weight"], out.weight)
    drawn = load(file_bytes(example("time_steps")))["mixer.time_step"]
    assert stats.kstest(drawn.double(), stats.loguniform(0.001, 0.1).cdf).pvalue > 0.01


def test_a_layer_of_mamba() -> None:
    """The init of mamba_ssm's `Mamba`, tensor by tensor in the order of its `state_dict`."""
    torch.manual_seed(SEED)
    script = {
        "A_log": torch.log(torch.arange(1, 17, dtype=torch.float32).repeat(64, 1)),
        "D": torch.ones(64),
        "in_proj.weight": nn.init.kaiming_uniform_(torch.empty(128, 32), math.sqrt(5)),
        "conv1d.weight": nn.init.kaiming_uniform_(torch.empty(64, 1, 4), math.sqrt(5)),
        "conv1d.bias": torch.empty(64).uniform_(-(4**-0.5), 4**-0.5),
        "x_proj.weight": nn.init.kaiming_uniform_(torch.empty(34, 64), math.sqrt(5)),
        "dt_proj.weight": torch.empty(64, 2).uniform_(-(2**-0.5), 2**-0.5),
    }
    steps = torch.empty(64).uniform_(math.log(0.001), math.log(0.1)).exp().clamp(min=1e-4)
    script["dt_proj.bias"] = steps + torch.log(-torch.expm1(-steps))
    script["out_proj.weight"] = nn.init.kaiming_uniform_(torch.empty(32, 64), math.sqrt(5))
    found = sequential(by("mamba", "torch"))
    assert found.keys() == script.keys()
    assert all(torch.equal(found[name], value) for name, value in script.items())
    issued = load(file_bytes(example("mamba")))
    torch.testing.assert_close(issued["A_log"], script["A_log"])
    drawn = nn.functional.softplus(issued["dt_proj.bias"]).double()
    assert stats.kstest(drawn, stats.loguniform(0.001, 0.1).cdf).pvalue > 0.01


def test_an_autoencoder_whose_decoder_begins_as_the_encoder_transposed() -> None:
    torch.manual_seed(SEED)
    parts = {
        "positions": nn.Embedding(50, 32),
        "encoder": nn.Linear(32, 8),
        "mixer": nn.Linear(8, 8, bias=False),
        "decoder": nn.Linear(8, 32),
    }
    noise = torch.empty(8, 8).normal_(0, 0.01)
    angles = torch.arange(50)[:, None] * torch.exp(torch.arange(0, 32, 2) * -math.log(1e4) / 32)
    table = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
    found = sequential(by("autoencoder", "torch"))
    assert torch.equal(found["encoder.weight"], parts["encoder"].weight)
    assert torch.equal(found["decoder.bias"], parts["decoder"].bias)
    assert torch.equal(found["decoder.weight"], parts["encoder"].weight.T)
    assert torch.equal(found["mixer.weight"], torch.eye(8) + noise)
    torch.testing.assert_close(found["positions.weight"], table, rtol=1e-4, atol=1e-5)
    issued = load(file_bytes(example("autoencoder")))
    assert torch.equal(issued["decoder.weight"], issued["encoder.weight"].T)
    assert torch.equal(issued["positions.weight"], found["positions.weight"])


def test_a_custom_linear() -> None:
    torch.manual_seed(SEED)
    net = MyLinear(5, 3)
    assert_same_bits(sequential(by("custom_linear", "torch")), net)
    net.load_state_dict(load(file_bytes(example("custom_linear"))), strict=True)


def test_an_mlp_saved_and_loaded_back() -> None:
    torch.manual_seed(SEED)
    net = MLP()
    assert_same_bits(sequential(by("custom_mlp", "torch")), net)
    issued = load(file_bytes(example("custom_mlp")))
    net.load_state_dict(issued, strict=True)
    assert all(torch.equal(value, issued[name]) for name, value in net.state_dict().items())


# --- 7: GPT-2 --------------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_gpt2_is_the_module_that_the_benchmark_builds(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(file_bytes(example("gpt2")))
    net = GPT2()
    assert load_model(net, str(path)) == (set(), [])
    issued = load(path.read_bytes())
    assert net.lm_head.weight is net.transformer["wte"].weight
    assert sum(p.numel() for p in net.parameters()) == 124_439_808
    residual = issued["transformer.h.11.mlp.c_proj.weight"]
    assert residual.std().item() == pytest.approx(0.02 / math.sqrt(24), rel=0.01)


def test_gpt2_under_generator_torch_is_module_apply() -> None:
    """With two of the twelve layers, so that it is quick; the order is what is shown."""
    document = by("gpt2", "torch")
    blocks = document["architecture"]["children"]["transformer"]["children"]["h"]
    blocks["count"] = 2
    found = sequential(document)
    torch.manual_seed(SEED)
    net = GPT2(layers=2)
    names = {module: name for name, module in net.named_modules()}

    def initialize(m: nn.Module) -> None:
        if isinstance(m, nn.Linear | nn.Embedding):
            residual = names[m].endswith("c_proj")
            nn.init.normal_(m.weight, 0.0, 0.02 / math.sqrt(2 * 12) if residual else 0.02)
        if isinstance(m, nn.Linear) and m.bias is not None:
            nn.init.zeros_(m.bias)

    net.apply(initialize)
    assert_same_bits(found, net)


# --- all of them -------------------------------------------------------------------------------

NAMES = sorted(path.stem for path in EXAMPLES.glob("*.json"))


def test_every_example_has_a_golden() -> None:
    assert sorted(json.loads(SHA256.read_text())) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_philox_file_never_changes(name: str) -> None:
    golden = json.loads(SHA256.read_text())[name]
    assert hashlib.sha256(file_bytes(by(name, "philox-v1"))).hexdigest() == golden


@pytest.mark.parametrize("name", [name for name in NAMES if name != "gpt2"])
def test_philox_and_torch_agree_in_distribution(name: str) -> None:
    generator = example(name)["init"].get("generator", "torch")
    expected = sequential(by(name, "torch" if generator == "philox-v1" else generator))
    issued = load(file_bytes(by(name, "philox-v1")))
    for tensor, value in expected.items():
        if not value.is_floating_point() or value.numel() < 100:
            continue
        drawn, real = issued[tensor].flatten().numpy(), value.flatten().numpy()
        if len(np.unique(real)) == 1 or np.array_equal(drawn, real):
            assert np.array_equal(drawn, real), tensor
        else:
            assert stats.ks_2samp(drawn, real).pvalue > 1e-6, tensor
