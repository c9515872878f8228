"""Natural first tries, and the message that leads on in one step."""

from __future__ import annotations

from typing import Any

import pytest

from seedpoint.models.errors import SpecError
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec

LINEAR: dict[str, Any] = {"type": "Linear", "in_features": 4, "out_features": 4}


def told(document: Any) -> list[str]:
    with pytest.raises(SpecError) as raised:
        make_plan(parse_spec(document))
    return [str(fault) for fault in raised.value.faults]


def layer(**arguments: Any) -> dict[str, Any]:
    return {"architecture": arguments}


def ruled(initializer: Any = "zeros", **more: Any) -> dict[str, Any]:
    rule = {"match": {"ndim": 2}, "initializer": initializer, **more}
    return {"architecture": LINEAR, "init": {"rules": [rule]}}


def transformed(transform: Any) -> dict[str, Any]:
    return ruled("normal", transforms=[transform])


@pytest.mark.parametrize(
    ("document", "messages"),
    [
        (layer(type="keras.layers.Dense"), ["did you mean 'Linear'?"]),
        (layer(type="Lineer", in_features=1), ["did you mean 'Linear'"]),
        (layer(type="gpt2"), ['a published model is {"type": "preset", "name": "gpt2"}']),
        (layer(type="Quux"), ["GET /v1/architectures describes all"]),
        (layer(_target_="torch.nn.Linear"), ["write `type` instead of `_target_`"]),
        (layer(layers=[LINEAR]), ['write "type": "Sequential" beside `layers`']),
        ({"architecture": [LINEAR]}, ['write {"type": "Sequential", "layers": [...]}']),
        ({"architecture": "Linear"}, ['write {"type": "Linear"}']),
        (LINEAR, ["architecture: missing", *["belongs in `architecture`: architecture."] * 3]),
        ({"architecture": LINEAR, "init": []}, ['write {"rules": [...]}']),
        ({"architecture": LINEAR, "tags": []}, ["did you mean 'labels'?"]),
        ({"architecture": LINEAR, "initializer": "zeros"}, ["a rule: init.rules.0.initializer"]),
        (
            {"architecture": LINEAR, "name": "x" * 201},
            ["expected a string of at most 200 characters, not one of 201"],
        ),
        ({"architecture": LINEAR, "dtype": "fp8"}, ["'float8_e4m3fn' or 'float8_e5m2'?"]),
    ],
)
def test_a_spec_s_frame_is_led_on(document: Any, messages: list[str]) -> None:
    for fault, message in zip(told(document), messages, strict=True):
        assert message in fault


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ({"type": "Linear", "n_in": 1, "n_out": 2}, ["in_features", "out_features"]),
        ({"type": "Linear", "in_channels": 1, "out_size": 2}, ["in_features", "out_features"]),
        ({"type": "Linear", "in_feature": 1, "out_feature": 2}, ["in_features", "out_features"]),
        ({"type": "LSTM", "input_dim": 1, "units": 2}, ["input_size", "hidden_size"]),
        ({"type": "BatchNorm2d", "channels": 2}, ["num_features"]),
        (
            {"type": "TransformerEncoderLayer", "d_model": 8, "num_heads": 2},
            ["nhead"],
        ),
        ({"type": "preset", "id": "gpt2"}, ["name"]),
        ({"type": "Ref", "layer_name": "x"}, ["ref"]),
        ({"type": "Sequential", "children": [LINEAR]}, ["layers"]),
        ({"type": "Module", "layers": {"a": LINEAR}}, ["children"]),
        ({"type": "Custom", "tensors": {"a": {"shape": [2]}}}, ["parameters"]),
    ],
)
def test_a_missing_argument_is_paired_with_the_unknown_one(given: Any, ours: list[str]) -> None:
    for fault, key in zip(told(layer(**given)), ours, strict=True):
        assert f"unknown argument; did you mean '{key}'?" in fault


def test_an_argument_with_a_meaning_of_its_own_is_paired_with_none() -> None:
    missing, unknown = told(layer(type="Linear", in_features=3, use_bias=False))
    assert missing.startswith("architecture.out_features: missing")
    assert "did you mean 'bias'?" in unknown


@pytest.mark.parametrize("written", [{"model": "gpt2"}, {"name": "gpt2"}])
def test_a_model_by_its_name_is_led_to_the_preset(written: Any) -> None:
    for fault in told(layer(type="transformers", **written)):
        assert 'a model by its name is {"type": "preset", "name": "gpt2"}' in fault


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (ruled("xavier"), "did you mean 'xavier_uniform' or 'xavier_normal'?"),
        (ruled(0.5), 'write {"type": "constant", "val": 0.5}'),
        (ruled({"name": "normal"}), "write `type` instead of `name`"),
        (ruled({"type": "he"}), "did you mean 'he_normal' or 'he_uniform'"),
        (ruled({"type": "quux"}), "GET /v1/initializers describes all"),
        (ruled({"type": "copy", "from": "bias"}), "did you mean 'of'?"),
        (ruled({"type": "uniform", "from": 0}), "did you mean 'a'?"),
        (ruled({"type": "kaiming_normal", "mode": "FAN_IN"}), "did you mean 'fan_in'?"),
        (ruled(std=1), "std: belongs in `initializer`: initializer.std"),
        (ruled(pattern="x"), "pattern: belongs in `match`: match.name"),
        (ruled(fan="weight"), 'write {"of": "weight"}'),
        (ruled(fan={"in_axes": 1, "out_axes": [0]}), "write [1]"),
        (ruled(splits=[2, 2]), 'write {"parts": [{"size": 2}, {"size": 2}]}'),
        (ruled(splits={"parts": [4]}), 'write {"size": 4}'),
        (ruled(splits={"parts": [{"size": 2, "repeat": 2}]}), "`splits`: splits.repeat"),
        (transformed({"type": "multiply", "value": 2}), "did you mean 'scale'?"),
        (transformed({"type": "scale", "factor": 2}), "did you mean 'value'?"),
        (transformed({"type": "zero_rows", "index": [0]}), "did you mean 'rows'?"),
        (transformed({"type": "set", "index": "0:2", "value": 1}), 'write ["0:2"]'),
        (ruled("normal", transforms={"type": "exp"}), 'write [{"type": "exp"}]'),
    ],
)
def test_a_rule_is_led_on(document: Any, message: str) -> None:
    (fault,) = told(document)
    assert message in fault


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("fin_in ** -0.5", "unknown name 'fin_in'; did you mean 'fan_in'?"),
        ("1 / pi", "write 3.14159"),
        ("1 / math.pi", "write 3.14159"),
        ("fan_avg", "write (fan_in + fan_out) / 2"),
        ("config.hidden_size", "a name has no dot; write hidden_size"),
        ("math.pow(2, 3)", "'math.pow' is written x ** y in an expression"),
        ("rsqrt(fan_in)", "'rsqrt' is written x ** -0.5 in an expression"),
    ],
)
def test_an_expression_is_led_on(expression: str, message: str) -> None:
    (fault,) = told(ruled({"type": "normal", "std": expression}))
    assert message in fault


def test_a_fan_that_a_vector_lacks_is_led_to_the_weight_beside_it() -> None:
    for initializer in ({"type": "normal", "std": "fan_in"}, "xavier_uniform"):
        document = ruled(initializer)
        document["init"]["rules"][0]["match"] = {"parameter": "bias"}
        (fault,) = told(document)
        assert '"fan": {"of": "weight"}' in fault


def test_a_constant_may_name_other_constants_only() -> None:
    document = ruled()
    document["init"]["constants"] = {"std": "fan_in"}
    (fault,) = told(document)
    assert "unknown name 'fan_in'; a constant may name other constants only" in fault


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ({"name": "Linear"}, "'Linear' is a class, and `name` a tensor's name; use \"module\": "),
        ({"name": "decoder.**"}, "`name` matches none of the tensors"),
        ({"name": "layer_{n}.**"}, "`name` matches none of the tensors"),
        ({"name": ".*weight"}, "a glob, not a regular expression; did you mean '**weight'?"),
        ({"name": "(a|b).weight"}, "a glob, not a regular expression"),
        ({"name": "1.weight"}, "comes from '1.parametrizations.weight.original1'"),
        ({"parameter": "weight", "name": "1.*"}, "each criterion holds for some tensor"),
    ],
)
def test_a_name_that_matches_nothing_is_led_on(match: Any, message: str) -> None:
    normed = {**LINEAR, "parametrizations": {"weight": "weight_norm"}}
    document = ruled()
    document["architecture"] = {"type": "Sequential", "layers": [LINEAR, normed]}
    document["init"]["rules"][0]["match"] = match
    (fault,) = told(document)
    assert message.replace("comes from", "its values come from") in fault


def test_a_parameter_of_a_parametrized_layer_is_led_on() -> None:
    document = ruled()
    document["architecture"] = {**LINEAR, "parametrizations": {"weight": "spectral_norm"}}
    document["init"]["rules"][0]["match"] = {"module": "Linear", "parameter": "weight"}
    (fault,) = told(document)
    assert '"name": "**.parametrizations.weight.original"' in fault
