"""Words of other libraries that are taken, and those that are answered by ours."""

from __future__ import annotations

from typing import Any

import pytest

from seedpoint.models.errors import SpecError
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.spec.wordings import rewritten

LINEAR = {"type": "Linear", "in_features": 4, "out_features": 4}


def spec(architecture: Any = LINEAR, initializer: Any = "zeros", **more: Any) -> dict[str, Any]:
    rule = {"match": {"ndim": 2}, "initializer": initializer}
    return {"architecture": architecture, "init": {"rules": [rule]}, **more}


def issued(document: Any) -> str:
    return make_plan(parse_spec(document)).plan.id


def refused(document: Any) -> list[str]:
    with pytest.raises(SpecError) as raised:
        issued(document)
    return [str(fault) for fault in raised.value.faults]


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        (spec({**LINEAR, "type": "torch.nn.Linear"}), spec()),
        (spec({**LINEAR, "type": "nn.Linear"}), spec()),
        (spec({**LINEAR, "type": "torch.nn.modules.linear.Linear"}), spec()),
        (spec(), spec(initializer={"type": "zeros"})),
        (spec(initializer="nn.init.zeros_"), spec()),
        (spec(initializer=["ones", "zeros"]), spec(initializer=[{"type": "ones"}, "zeros"])),
        (spec(initializer="gaussian"), spec(initializer={"type": "normal"})),
        (spec(dtype="bf16"), spec(dtype="bfloat16")),
        (spec(dtype="torch.float16"), spec(dtype="float16")),
        (spec(dtype="half"), spec(dtype="float16")),
        (spec(dtype={"default": "fp32"}), spec(dtype={"default": "float32"})),
        (
            spec(initializer={"type": "xavier_uniform", "gain": "relu"}),
            spec(initializer={"type": "xavier_uniform", "gain": {"nonlinearity": "relu"}}),
        ),
        (
            spec(initializer={"type": "xavier_uniform", "gain": "nn.init.calculate_gain('tanh')"}),
            spec(initializer={"type": "xavier_uniform", "gain": {"nonlinearity": "tanh"}}),
        ),
        (
            spec(initializer={"type": "kaiming_normal", "nonlinearity": "LeakyReLU"}),
            spec(initializer={"type": "kaiming_normal", "nonlinearity": "leaky_relu"}),
        ),
        (
            spec(initializer={"type": "kaiming_normal", "nonlinearity": "nn.ReLU"}),
            spec(initializer={"type": "kaiming_normal", "nonlinearity": "relu"}),
        ),
        (
            spec(
                initializer={"type": "orthogonal", "gain": "calculate_gain('leaky_relu', 0.2)"},
            ),
            spec(
                initializer={
                    "type": "orthogonal",
                    "gain": {"nonlinearity": "leaky_relu", "param": 0.2},
                }
            ),
        ),
        (spec({**LINEAR, "type": "linear"}), spec()),
        (spec({**LINEAR, "type": "nn.modules.Linear"}), spec()),
        (spec(dtype="BF16"), spec(dtype="bfloat16")),
        (spec(initializer="GlorotUniform"), spec(initializer="glorot_uniform")),
        *(
            (
                spec(initializer={"type": "constant", "val": text}),
                spec(initializer={"type": "constant", "val": "-Infinity"}),
            )
            for text in ("-inf", "-math.inf", "float('-inf')", "-np.inf")
        ),
    ],
)
def test_an_unambiguous_word_is_taken_and_the_id_is_that_of_ours(
    written: Any, canonical: Any
) -> None:
    assert issued(written) == issued(canonical)


@pytest.mark.parametrize("match", ["**.weight", {"name": "**.weight"}])
def test_a_match_that_is_a_text_is_a_glob_on_the_name(match: Any) -> None:
    document = spec()
    document["init"]["rules"][0]["match"] = match
    assert rewritten(document)["init"]["rules"][0]["match"] == {"name": "**.weight"}


def test_a_match_that_is_a_list_of_texts_is_several_globs() -> None:
    document = spec()
    document["init"]["rules"][0]["match"] = ["**.weight", "*.bias"]
    assert rewritten(document)["init"]["rules"][0]["match"] == {"name": ["**.weight", "*.bias"]}


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("*.bias", {"name": "*.bias"}),
        ({"module": "nn.Conv2d"}, {"module": "Conv2d"}),
        (["*.bias", {"module": ["torch.nn.GRU"]}], [{"name": "*.bias"}, {"module": ["GRU"]}]),
        ({"not": {"module": "nn.Conv2d"}}, {"not": {"module": "Conv2d"}}),
    ],
)
def test_the_same_words_are_taken_in_not(written: Any, canonical: Any) -> None:
    document = spec()
    document["init"]["rules"][0]["match"] = {"not": written}
    assert rewritten(document)["init"]["rules"][0]["match"] == {"not": canonical}


def test_the_same_words_are_taken_in_sums_and_parts() -> None:
    terms: Any = ["eye", {"type": "nn.init.xavier_uniform_", "gain": "relu"}]
    plain = [{"type": "eye"}, {"type": "xavier_uniform", "gain": {"nonlinearity": "relu"}}]
    parts = {"parts": [{"size": 2, "initializer": terms[1], "transforms": ["exp"]}, {"size": 2}]}
    document = spec(initializer={"type": "sum", "initializers": terms})
    document["init"]["rules"][0] |= {"splits": parts, "transforms": ["neg", "no_transform"]}
    (rule,) = rewritten(document)["init"]["rules"]
    assert rule["initializer"] == {"type": "sum", "initializers": plain}
    assert rule["transforms"] == [{"type": "neg"}, "no_transform"]
    assert rule["splits"]["parts"] == [
        {"size": 2, "initializer": plain[1], "transforms": [{"type": "exp"}]},
        {"size": 2},
    ]


@pytest.mark.parametrize("module", ["torch.nn.Linear", ["nn.Linear"]])
def test_a_class_may_have_the_prefix_of_its_library(module: Any) -> None:
    document, plain = spec(), spec()
    document["init"]["rules"][0]["match"] = {"module": module, "ndim": 2}
    plain["init"]["rules"][0]["match"] = {"module": "Linear", "ndim": 2}
    assert issued(document) == issued(plain)


def test_a_constant_named_as_an_infinity_is_that_number() -> None:
    document = spec(initializer={"type": "constant", "val": "-inf"})
    document["init"]["constants"] = {"inf": 3}
    assert rewritten(document)["init"]["rules"][0]["initializer"]["val"] == "-inf"


def test_a_constant_named_as_a_nonlinearity_is_that_number() -> None:
    document = spec(initializer={"type": "xavier_uniform", "gain": "relu"})
    document["init"]["constants"] = {"relu": 3}
    assert rewritten(document)["init"]["rules"][0]["initializer"]["gain"] == "relu"


def test_the_given_document_stays_and_configs_of_libraries_are_not_read() -> None:
    document = {
        "architecture": {"type": "transformers", "config": {"dtype": "half", "type": "nn.Linear"}},
        "dtype": "bf16",
    }
    assert rewritten(document) == {**document, "dtype": "bfloat16"}
    assert document["dtype"] == "bf16"


@pytest.mark.parametrize(
    "document", [None, 3, [], {"init": 3}, {"init": {"rules": 3}}, {"dtype": []}]
)
def test_what_is_no_spec_stays(document: Any) -> None:
    assert rewritten(document) == document


@pytest.mark.parametrize(
    ("document", "messages"),
    [
        (spec(seed=3), ["seed: belongs in `init`: init.seed"]),
        (spec(rules=[]), ["rules: belongs in `init`: init.rules"]),
        (
            spec({"class": "Linear"}),
            ["architecture.type: missing; write `type` instead of `class`"],
        ),
        (
            spec({"type": "Dense"}),
            ["architecture.type: unknown type \"Dense\"; did you mean 'Linear'?"],
        ),
        (spec("llama-tiny"), ['write {"type": "preset", "name": "llama-tiny"}']),
        (
            spec(initializer="nonsense"),
            ["init.rules.0.initializer: expected an object with a `type`"],
        ),
        (spec(initializer={"type": "identity"}), ["did you mean 'eye' or 'dirac'?"]),
        (spec(initializer={"type": "truncated_normal"}), ["'trunc_normal' or 'variance_scaling'"]),
        (
            spec(initializer={"type": "normal", "sigma": 1}),
            ["unknown argument; did you mean 'std'?"],
        ),
        (
            spec(initializer={"type": "uniform", "low": 0, "high": 1}),
            [
                "low: unknown argument; did you mean 'a'?",
                "high: unknown argument; did you mean 'b'?",
            ],
        ),
        (
            spec({"type": "Linear", "input_dim": 3, "out": 4}),
            ["input_dim: unknown argument; did you mean 'in_features'?", "mean 'out_features'?"],
        ),
        (
            spec({"type": "Repeat", "times": 3, "layer": LINEAR}),
            ["times: unknown argument; did you mean 'count'?"],
        ),
        (spec({**LINEAR, "tie": "wte.weight"}), ['write {"weight": "wte.weight"}']),
        (
            spec(initializer={"type": "xavier_normal", "gain": "gelu"}),
            ["unknown name 'gelu'; PyTorch has a gain for linear, "],
        ),
        (
            spec(initializer={"type": "kaiming_normal", "nonlinearity": "gelu"}),
            ['PyTorch has no gain for "gelu": give `gain` a number'],
        ),
        (
            spec(initializer={"type": "normal", "std": "math.sqrt(fan_in)"}),
            ["'math.sqrt' is written sqrt() in an expression"],
        ),
        (
            {"model": LINEAR},
            ["model: unknown argument; did you mean 'architecture'?"],
        ),
    ],
)
def test_a_word_that_is_not_taken_is_answered_by_ours(document: Any, messages: list[str]) -> None:
    for fault, message in zip(refused(document), messages, strict=True):
        assert message in fault


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"name": "weight", "initializer": "zeros"}, "name: belongs in `match`: match.name"),
        ({"match": {"type": "Linear"}, "initializer": "zeros"}, "did you mean 'module'?"),
    ],
)
def test_a_criterion_out_of_place_is_led_to_its_place(rule: Any, message: str) -> None:
    (fault,) = refused({"architecture": LINEAR, "init": {"rules": [rule]}})
    assert message in fault
