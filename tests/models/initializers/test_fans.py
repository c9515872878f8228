"""Fans of stacked, grouped and transposed weights, and of siblings."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from seedpoint.models.initializers.fans import Fans, FanSpec, Surroundings, default_fans
from tests.support.issued import issued
from tests.support.plans import faults, plan, rule, sequential, tensor


def experts(*shape: int, **more: Any) -> dict[str, Any]:
    return {"type": "tensors", "tensors": {"w": {"shape": list(shape)}}, **more}


def spec(architecture: dict[str, Any], *rules: Any, **init: Any) -> dict[str, Any]:
    return {"architecture": architecture, "init": {"rules": list(rules), **init}}


@pytest.mark.parametrize(
    ("given", "shape", "fans"),
    [
        ({"batch_axes": (0,)}, (4, 32, 64), (64, 32)),
        ({"batch_axes": (0, 1)}, (2, 4, 32, 64), (64, 32)),
        ({"batch_axes": (-1,)}, (32, 64, 4), (64, 32)),
        ({"in_axes": (1,), "out_axes": (2,), "batch_axes": (0,)}, (4, 32, 64), (32, 64)),
        ({"in_axes": (1,), "out_axes": (3,)}, (3, 32, 5, 64), (480, 960)),
    ],
)
def test_batch_axes_count_in_neither_fan(
    given: Any, shape: tuple[int, ...], fans: tuple[int, int]
) -> None:
    assert FanSpec(**given).fans(shape, Surroundings()) == Fans(*fans)


def test_the_layout_in_out_has_the_fans_of_flax_and_keras() -> None:
    kernel = (3, 5, 16, 8)  # HWIO
    assert default_fans(kernel, "in_out") == Fans(16 * 15, 8 * 15)
    assert default_fans((16, 8), "in_out") == Fans(16, 8)
    found = tensor(plan(experts(*kernel, layout="in_out"), rule({}, {"type": "he_normal"})), "w")
    assert (found.fan_in, found.fan_out) == (240, 120)
    assert found.program.source.std == pytest.approx(math.sqrt(2 / 240) / 0.87962566103423978)  # type: ignore[union-attr]


def test_a_list_of_tensors_keeps_its_layout_inside_a_tree() -> None:
    tree = {"type": "Module", "children": {"keras": experts(20, 30, layout="in_out")}}
    inner = plan(tree, rule({}, {"type": "orthogonal"}))
    found = tensor(inner, "keras.w")
    assert (found.fan_in, found.fan_out) == (20, 30)
    kernel = {"type": "ModuleList", "layers": [experts(3, 3, 4, 8, layout="in_out")]}
    matrix = issued(spec(kernel, rule({}, {"type": "orthogonal"})))["0.w"].view(-1, 8).double()
    assert torch.allclose(matrix.T @ matrix, torch.eye(8).double(), atol=1e-6)


@pytest.mark.parametrize("initializer", ["dirac", "bilinear"])
def test_kernels_of_pytorch_alone_are_refused_in_another_layout(initializer: str) -> None:
    given = rule({}, {"type": initializer})
    assert f"{initializer} fills kernels of layout out_in, not in_out" in str(
        faults(experts(4, 4, 3, 3, layout="in_out"), given)
    )


def test_an_orthogonal_kernel_of_layout_in_out_has_orthonormal_columns() -> None:
    found = issued(spec(experts(3, 3, 4, 8, layout="in_out"), rule({}, {"type": "orthogonal"})))
    matrix = found["w"].view(-1, 8).double()
    assert torch.allclose(matrix.T @ matrix, torch.eye(8).double(), atol=1e-6)


@pytest.mark.parametrize("generator", ["philox-v1", "torch"])
def test_orthogonal_goes_weight_by_weight_along_batch_axes(generator: str) -> None:
    given = rule({}, {"type": "orthogonal", "gain": 2}, fan={"batch_axes": [0, 2]})
    found = issued(spec(experts(3, 6, 2, 4), given, generator=generator))["w"].double()
    seen = set()
    for expert in range(3):
        for half in range(2):
            matrix = found[expert, :, half]
            assert torch.allclose(matrix.T @ matrix, 4 * torch.eye(4).double(), atol=1e-5)
            seen.add(float(matrix[0, 0]))
    assert len(seen) == 6


def test_generator_torch_fills_stacked_weights_as_a_loop_does() -> None:
    given = rule({}, {"type": "orthogonal"}, fan={"batch_axes": [0]})
    found = issued(spec(experts(3, 6, 4), given, generator="torch", seed=9))["w"]
    torch.manual_seed(9)
    script = torch.empty(3, 6, 4)
    for expert in script:
        nn.init.orthogonal_(expert)
    assert torch.equal(found, script)


def test_identities_and_sparse_weights_are_stacked_too() -> None:
    fan = {"batch_axes": [0]}
    eye = issued(spec(experts(5, 4, 3), rule({}, {"type": "eye"}, fan=fan)))["w"]
    assert torch.equal(eye, torch.eye(4, 3).expand(5, 4, 3))
    given = rule({}, {"type": "sparse", "sparsity": 0.5, "std": 1}, fan=fan)
    sparse = issued(spec(experts(5, 4, 3), given))["w"]
    assert ((sparse == 0).sum(dim=1) == 2).all()


def test_stacked_parts_with_a_name_equal_the_unfused_tensor() -> None:
    initializer, fan = {"type": "orthogonal"}, {"batch_axes": [0]}
    parts = [{"size": 4, "as": "gate"}, {"size": 4, "as": "up"}]
    fused = rule({}, initializer, fan=fan, splits={"axis": 1, "parts": parts})
    found = issued(spec(experts(3, 8, 6), fused))["w"]
    listed = {name: {"shape": [3, 4, 6]} for name in ("gate", "up")}
    unfused = issued(spec({"type": "tensors", "tensors": listed}, rule({}, initializer, fan=fan)))
    assert torch.equal(found, torch.cat([unfused["gate"], unfused["up"]], dim=1))


CONV = {"type": "Conv2d", "in_channels": 8, "out_channels": 16, "kernel_size": 3}


def test_each_module_has_its_own_groups() -> None:
    fan = {"in_axes": [1], "out_axes": [0], "groups": "module"}
    found = plan(
        sequential(
            CONV, {**CONV, "groups": 4}, {"type": "Linear", "in_features": 3, "out_features": 5}
        ),
        rule({"parameter": "weight"}, {"type": "kaiming_normal", "mode": "fan_out"}, fan=fan),
    )
    fans = [(t.fan_in, t.fan_out) for t in found.tensors if t.name.endswith("weight")]
    assert fans == [(72, 144), (18, 36), (3, 5)]


def test_groups_that_contradict_the_module_are_refused() -> None:
    fan = {"in_axes": [1], "out_axes": [0], "groups": 4}
    told = faults(
        sequential(CONV, {**CONV, "groups": 4}),
        rule({"parameter": "weight"}, {"type": "kaiming_normal"}, fan=fan),
    )
    assert told == {
        "init.rules.0.fan": "'0.weight': groups 4 contradicts its module, which has 1; write "
        '"groups": "module"'
    }


def test_a_bias_takes_the_fans_of_the_weight_beside_it() -> None:
    bound = {"type": "uniform", "a": "-1/sqrt(fan_in)", "b": "1/sqrt(fan_in)"}
    layers = sequential(CONV, {"type": "Linear", "in_features": 25, "out_features": 2})
    found = plan(layers, rule({"parameter": "bias"}, bound, fan={"of": "weight"}))
    own = plan(layers)
    for name in ("0.bias", "1.bias"):
        assert tensor(found, name).program == tensor(own, name).program
    assert tensor(found, "1.bias").fan_in == 25


def test_a_sibling_that_does_not_exist_is_named() -> None:
    told = faults(
        sequential(CONV), rule({"parameter": "bias"}, {"type": "he_normal"}, fan={"of": "wieght"})
    )
    assert told == {
        "init.rules.0.fan.of": "'0.bias': no tensor 'wieght' beside it; beside it: 'weight'"
    }


def test_a_sibling_is_looked_for_beside_every_name_of_a_tied_tensor() -> None:
    head = {"type": "Linear", "in_features": 5, "out_features": 3, "tie": {"bias": "free"}}
    tree = {"type": "Module", "parameters": {"free": {"shape": [3]}}, "children": {"head": head}}
    given = rule({"module": "Linear"}, {"type": "normal", "std": "1/fan_in"}, fan={"of": "weight"})
    found = tensor(plan(tree, given), "free")
    assert (found.fan_in, found.fan_out) == (5, 3)


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
def test_a_parametrized_sibling_is_the_weight_that_it_is_computed_from(kind: str) -> None:
    layer = {"type": "Linear", "in_features": 5, "out_features": 3}
    given = rule({"name": "bias"}, {"type": "normal", "std": "1/fan_in"}, fan={"of": "weight"})
    found = tensor(plan({**layer, "parametrizations": {"weight": kind}}, given), "bias")
    assert (found.fan_in, found.fan_out) == (5, 3)


@pytest.mark.parametrize(
    ("fan", "said"),
    [
        ({"in_axes": [0]}, "expected in_axes and out_axes, or neither"),
        ({"batch_axes": [3]}, "axis 3 is outside a tensor of 3 dimensions"),
        (
            {"in_axes": [0], "out_axes": [1], "batch_axes": [-3]},
            "axis 0 is both a batch_axis and an in_axis or out_axis",
        ),
        ({"groups": "own"}, 'expected an integer of at least 1 or "module", not "own"'),
    ],
)
def test_faulty_fans_are_told(fan: Any, said: str) -> None:
    (message,) = faults(experts(4, 3, 2), rule({}, {"type": "he_normal"}, fan=fan)).values()
    assert said in message


def test_numbers_of_the_layer_are_names_in_expressions() -> None:
    found = plan(
        sequential({"type": "Linear", "in_features": 4, "out_features": 6}, CONV),
        rule({"module": "Linear"}, {"type": "normal", "std": "1/in_features"}),
        rule({"module": "Conv2d"}, {"type": "normal", "std": "in_channels / out_channels"}),
    )
    stds = {t.name: t.program.source.std for t in found.tensors}  # type: ignore[union-attr]
    assert stds == {"0.weight": 0.25, "0.bias": 0.25, "1.weight": 0.5, "1.bias": 0.5}


def test_constants_hide_numbers_of_the_layer() -> None:
    found = plan(
        {"type": "Linear", "in_features": 4, "out_features": 6},
        rule({}, {"type": "normal", "std": "in_features"}),
        init={"constants": {"in_features": 3}},
    )
    assert tensor(found, "weight").program.source.std == 3  # type: ignore[union-attr]
