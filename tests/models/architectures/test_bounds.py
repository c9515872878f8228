"""Architectures that are too large, or nested too deeply: faults at once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from seedpoint.models.architectures import build, check_depth, limits, parse
from seedpoint.models.errors import SpecError
from tests.support.trees import (
    RELU,
    Document,
    built,
    faults,
    linear,
    paths,
    ref,
    repeat,
    sequential,
)


def test_more_layers_than_the_limit_are_found_at_once() -> None:
    document = repeat(10**9, repeat(10**9, repeat(10**9, linear())))
    assert faults(document) == [
        (
            "architecture.layer.layer",
            "would make 1000000001 modules; at most 100000 are allowed",
        )
    ]
    nested = linear()
    for _ in range(27):
        nested = repeat(10, nested)
    assert paths(sequential(nested)) == ["architecture.layers.0" + ".layer" * 22]


def test_the_limit_is_a_parameter_and_includes_containers() -> None:
    document = sequential(repeat(3, linear()), linear())
    build(parse(document), max_modules=6)
    assert paths(document, max_modules=5) == ["architecture"]
    assert paths(document, max_modules=3) == ["architecture.layers.0"]


@pytest.mark.parametrize(
    "layer",
    [
        {"type": "LSTM", "input_size": 1, "hidden_size": 1, "num_layers": 10**9},
        {"type": "Transformer", "num_encoder_layers": 10**9},
        {"type": "TransformerEncoder", "num_layers": 10**9, "encoder_layer": RELU},
        {"type": "TransformerDecoder", "num_layers": 10**9, "decoder_layer": RELU},
    ],
    ids=lambda layer: layer["type"],
)
def test_layers_inside_torch_s_own_stacks_count_too(layer: Document) -> None:
    assert paths(sequential(layer)) == ["architecture.layers.0"]


def test_refs_to_refs_do_not_grow_as_powers_of_two() -> None:
    doubled = (
        sequential(ref(f"a{index}"), ref(f"a{index}"), name=f"a{index + 1}") for index in range(60)
    )
    assert paths(sequential(linear(name="a0"), *doubled)) == ["architecture.layers.16"]


def nested(depth: int) -> Document:
    document = linear()
    for _ in range(depth - 1):
        document = sequential(document)
    return document


def test_deep_nesting_is_a_fault_and_no_recursion_error() -> None:
    build(parse(nested(64)))
    for depth in (65, 5000):
        ((path, message),) = faults(nested(depth))
        assert path == "architecture" + ".layers.0" * 64
        assert message == "nested too deep; at most 64 layers"
    lists: Any = 1
    for _ in range(5000):
        lists = [lists]
    with pytest.raises(SpecError, match="at most 256 levels"):
        check_depth(lists)
    assert len(faults(linear() | {"in_features": lists})) == 1


def test_no_path_is_made_for_what_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "join", None)
    check_depth({"values": [[0.5]] * 1000, "a": {"b": ({}, [])}})


def test_the_first_object_too_deep_is_named() -> None:
    deep: Any = {"type": "a"}
    for _ in range(64):
        deep = {"type": "a", "x": [deep]}
    path = "root.y.1" + 64 * ".x.0"
    with pytest.raises(SpecError, match=f"^{re.escape(path)}: nested too deep; at most 64 layers"):
        check_depth({"y": [[], deep], "z": deep}, "root")


@pytest.mark.parametrize("norm", ["LayerNorm", "RMSNorm"])
def test_a_norm_has_no_more_dimensions_than_a_tensor(norm: str) -> None:
    ((path, message),) = faults({"type": norm, "normalized_shape": 65 * [1]})
    assert path == "architecture.normalized_shape"
    assert "a list of at most 64" in message
    assert len(built({"type": norm, "normalized_shape": 64 * [1]}).module.weight.shape) == 64


def test_a_copy_s_fault_is_given_once() -> None:
    document = sequential(repeat(50_000, ref("nope")))
    assert paths(document) == ["architecture.layers.0.layer.ref"]


def test_every_fault_of_form_is_reported_not_the_first_alone() -> None:
    document = sequential({"type": "Linaer"}, {"type": "Linear", "in_features": "5"}, linear(-1))
    assert paths(document) == [
        "architecture.layers.0.type",
        "architecture.layers.1.in_features",
        "architecture.layers.1.out_features",
        "architecture.layers.2.in_features",
    ]


def test_an_extra_argument_names_the_allowed_ones() -> None:
    ((path, message),) = faults(sequential(linear(bais=True)))
    assert path == "architecture.layers.0.bais"
    assert "did you mean 'bias'?" in message
    assert "in_features, out_features" in message
