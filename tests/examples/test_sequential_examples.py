"""Examples of Sequential and Module against the PyTorch code that they mirror."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import nn

from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.statistics.describe import resource
from tests.support.examples import SEED, assert_same_bits, by, example, file_bytes, sequential


def mlp_30_40_50_10() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 50), nn.ReLU(), nn.Linear(50, 10)
    )


def test_first_weight_drawn_by_numpy_uniform() -> None:
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    net = mlp_30_40_50_10()
    shape = net[0].weight.shape
    net[0].weight.data = torch.from_numpy(np.random.uniform(3, 5, size=shape)).float()
    assert_same_bits(sequential(example("sequential_numpy_uniform")), net)


def test_a_float64_tensor_takes_numpys_draws_exactly() -> None:
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    net = mlp_30_40_50_10()
    net[0].weight.data = torch.tensor(np.random.uniform(3, 5, size=net[0].weight.shape))
    document = example("sequential_numpy_uniform")
    document["dtype"] = {
        "default": "float32",
        "rules": [{"match": {"name": "0.weight"}, "dtype": "float64"}],
    }
    assert_same_bits(sequential(document), net)


def test_every_linear_drawn_by_numpy_normal() -> None:
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    net = mlp_30_40_50_10()
    for layer in net:
        if isinstance(layer, nn.Linear):
            shape = layer.weight.shape
            layer.weight.data = torch.from_numpy(np.random.normal(0, 0.5, size=shape)).float()
    assert_same_bits(sequential(example("sequential_numpy_normal")), net)


def test_first_weight_by_xavier_uniform() -> None:
    torch.manual_seed(SEED)
    net = mlp_30_40_50_10()
    nn.init.xavier_uniform_(net[0].weight)
    assert_same_bits(sequential(by("sequential_xavier", "torch")), net)


def test_first_weight_given_as_values() -> None:
    document = example("sequential_values")
    torch.manual_seed(SEED)
    net = mlp_30_40_50_10()
    net[0].weight.data = torch.tensor(document["init"]["rules"][0]["initializer"]["values"])
    assert_same_bits(sequential(by("sequential_values", "torch")), net)
    issued = load(file_bytes(document))
    assert torch.equal(issued["0.weight"], net[0].weight)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l1 = nn.Sequential(nn.Linear(30, 40), nn.ReLU())
        self.l2 = nn.Sequential(nn.Linear(40, 50), nn.ReLU())
        self.l3 = nn.Sequential(nn.Linear(50, 10), nn.ReLU())


def test_first_weight_of_a_child_standard_normal() -> None:
    torch.manual_seed(SEED)
    net = Net()
    nn.init.normal_(net.l1[0].weight)
    assert_same_bits(sequential(by("children_first_normal", "torch")), net)


def test_init_by_looping_over_modules() -> None:
    torch.manual_seed(SEED)
    net = Net()
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight)
    assert_same_bits(sequential(by("modules_normal", "torch")), net)


def test_the_resource_tells_children_from_modules() -> None:
    plan = make_plan(parse_spec(example("modules_normal"))).plan
    found = resource(plan)["modules"]
    net = Net()
    assert found["children"] == [
        {"name": name, "class": type(child).__name__} for name, child in net.named_children()
    ]
    assert found["modules"] == [
        {"name": name, "class": type(module).__name__}
        for name, module in net.named_modules()
        if name
    ]


def mlp() -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(hidden=nn.Linear(20, 256), activation=nn.ReLU(), output=nn.Linear(256, 10))
    )


def test_normal_weights_and_zero_biases() -> None:
    def init_normal(m: nn.Module) -> None:
        if type(m) is nn.Linear:
            nn.init.normal_(m.weight, mean=0, std=0.01)
            nn.init.zeros_(m.bias)

    torch.manual_seed(SEED)
    net = mlp()
    net.apply(init_normal)
    assert_same_bits(sequential(by("mlp", "torch")), net)


@pytest.mark.parametrize(("name", "added"), [("mlp_threshold", 0), ("mlp_threshold_add", 1)])
def test_a_custom_init_with_a_mask(name: str, added: int) -> None:
    def my_init(m: nn.Module) -> None:
        if type(m) is nn.Linear:
            nn.init.uniform_(m.weight, -10, 10)
            m.weight.data *= m.weight.data.abs() >= 5
            if added:
                m.weight.data += added

    torch.manual_seed(SEED)
    net = mlp()
    net.apply(my_init)
    assert_same_bits(sequential(by(name, "torch")), net)
    issued = load(file_bytes(example(name)))["hidden.weight"] - added
    assert bool(((issued == 0) | (issued.abs() >= 5)).all())
    assert 0.4 < (issued == 0).float().mean() < 0.6


def test_one_function_for_convolutions_linears_and_norms() -> None:
    def init_function(m: nn.Module) -> None:
        if isinstance(m, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(m.weight, nonlinearity="relu")
            nn.init.zeros_(m.bias)
        elif isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.constant_(m.weight, 1)
            nn.init.constant_(m.bias, 0)

    torch.manual_seed(SEED)
    net = nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 8, 3),
            norm2d=nn.BatchNorm2d(8),
            relu=nn.ReLU(),
            flatten=nn.Flatten(),
            fc=nn.Linear(288, 32),
            norm1d=nn.BatchNorm1d(32),
            head=nn.Linear(32, 10),
        )
    )
    net.apply(init_function)
    assert_same_bits(sequential(by("init_function", "torch")), net)
