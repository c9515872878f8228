"""Layers used again and tensors that are one: the same objects as a script's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.support.trees import (
    RELU,
    built,
    faults,
    linear,
    paths,
    ref,
    repeat,
    sequential,
)

# --- Ref ---------------------------------------------------------------------------------


def test_a_ref_is_the_same_module_again() -> None:
    shared = {"type": "Module", "children": {"in": linear(), "out": ref("first.in")}}
    result = built(sequential(shared | {"name": "first"}, ref("first"), ref("first.out")))
    first, again, inner = result.module
    assert again is first
    assert inner is getattr(first, "in")
    assert inner is first.out
    assert result.paths["1"] == "architecture.layers.1"


def test_a_ref_in_a_repeat_shares_one_module_with_every_copy() -> None:
    block = sequential(ref("shared"), linear())
    result = built(sequential(linear(name="shared"), repeat(2, block)))
    assert result.module[1][0][0] is result.module[1][1][0] is result.module.shared
    assert result.module[1][0][1] is not result.module[1][1][1]


def test_a_ref_reaches_into_what_a_constructor_of_torch_made() -> None:
    encoder = {"type": "TransformerEncoder", "num_layers": 2, "name": "encoder"}
    encoder["encoder_layer"] = {"type": "TransformerEncoderLayer", "d_model": 4, "nhead": 1}
    result = built(sequential(encoder, ref("encoder.layers.1.linear1")))
    assert result.module[1] is result.module.encoder.layers[1].linear1


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nope", "no layer 'nope'; earlier layers: a"),
        ("b.0", "'b.0' is this layer itself"),
        ("b", "'b' contains this layer"),
        ("", "'' contains this layer"),
        ("c", "'c' is a later layer"),
        ("b.1", "'b.1' is a later layer"),
        ("r.1", "'r.1' is a later layer"),
        ("r.2", "no layer 'r.2'"),
        ("a.weight", "no layer 'a.weight'"),
        ("a.b.c", "no layer 'a.b.c'"),
        ("a.", "no layer 'a.'; earlier layers: a"),
    ],
)
def test_a_ref_to_anything_but_an_earlier_layer_is_a_fault(target: str, words: str) -> None:
    document = sequential(
        linear(name="a"),
        sequential(ref(target), linear(), name="b"),
        linear(name="c"),
        repeat(2, RELU, name="r"),
    )
    ((path, message),) = faults(document)
    assert path == "architecture.layers.1.layers.0.ref"
    assert message.startswith(words)


def test_a_ref_in_what_torch_copies_is_a_fault() -> None:
    encoder = {"type": "TransformerEncoder", "num_layers": 1, "encoder_layer": ref("0")}
    assert paths(sequential(linear(), encoder)) == ["architecture.layers.1.encoder_layer"]


# --- tie ---------------------------------------------------------------------------------


def test_a_tie_makes_one_parameter_of_two() -> None:
    embed = {"type": "Embedding", "num_embeddings": 9, "embedding_dim": 4, "name": "wte"}
    head = linear(4, 9, name="head", bias=False, tie={"weight": "body.wte.weight"})
    result = built(
        {
            "type": "Module",
            "children": [{"type": "Module", "name": "body", "children": [embed]}, head],
        }
    )
    torch.manual_seed(3)
    expected = nn.Embedding(9, 4).weight
    assert result.module.head.weight is result.module.body.wte.weight
    assert torch.equal(result.module.head.weight, expected)


def test_a_tie_may_name_a_tensor_inside_the_layer_and_a_later_target() -> None:
    outer = sequential(linear(), linear(), name="outer", tie={"1.weight": "later.weight"})
    result = built(sequential(outer, linear(name="later")))
    assert result.module.outer[1].weight is result.module.later.weight


def test_ties_in_a_chain_end_at_one_tensor() -> None:
    layers = [linear(tie={"weight": f"{index + 1}.weight"}) for index in range(3)]
    result = built(sequential(*layers, linear()))
    assert len({id(layer.weight) for layer in result.module}) == 1
    torch.manual_seed(3)
    last = [nn.Linear(4, 4) for _ in range(4)][-1]
    assert torch.equal(result.module[0].weight, last.weight)


def test_copies_of_a_repeat_may_be_tied_to_the_first() -> None:
    result = built(sequential(repeat(3, linear(tie={"weight": "0.0.weight"}))))
    assert len({id(layer.weight) for layer in result.module[0]}) == 1
    assert len({id(layer.bias) for layer in result.module[0]}) == 3


def test_a_tie_keeps_a_recurrent_layer_usable() -> None:
    lstm = {"type": "LSTM", "input_size": 4, "hidden_size": 4}
    result = built(sequential(lstm, lstm | {"tie": {"weight_hh_l0": "0.weight_hh_l0"}}))
    second = result.module[1]
    assert second.weight_hh_l0 is result.module[0].weight_hh_l0
    assert any(weight is second.weight_hh_l0 for weight in second._flat_weights)


@pytest.mark.parametrize(
    ("tie", "path", "words"),
    [
        ({"wieght": "0.weight"}, "wieght", "this layer has no tensor 'wieght'; known: weight"),
        ({"weight": "0.wieght"}, "weight", "no tensor '0.wieght'; known: 0.weight"),
        ({"weight": "nope"}, "weight", "no tensor 'nope'"),
        ({"weight": "1.weight"}, "weight", "'1.weight' is this tensor itself"),
        ({"weight": "0.bias"}, "weight", "'0.bias' has shape [3], but this has [4, 4]"),
        ({"bias": "2.mean"}, "bias", "'2.mean' is a buffer, but this is a parameter"),
        ({"a.weight": "0.weight"}, '["a.weight"]', "this layer has no tensor 'a.weight'"),
    ],
)
def test_a_tie_that_cannot_be_is_a_fault(tie: dict[str, str], path: str, words: str) -> None:
    buffers = {"type": "Custom", "buffers": {"mean": {"shape": [4]}}}
    ((found, message),) = faults(sequential(linear(4, 3), linear(tie=tie), buffers))
    separator = "" if path.startswith("[") else "."
    assert found == f"architecture.layers.1.tie{separator}{path}"
    assert message.startswith(words)


def test_ties_in_a_circle_or_of_one_tensor_twice_are_faults() -> None:
    circle = [linear(tie={"weight": "1.weight"}), linear(tie={"weight": "0.weight"})]
    assert paths(sequential(*circle)) == [f"architecture.layers.{i}.tie.weight" for i in (0, 1)]
    twice = sequential(
        linear(),
        linear(),
        sequential(linear(tie={"weight": "0.weight"}), tie={"0.weight": "1.weight"}),
    )
    ((_, message),) = faults(twice)
    assert message == "already tied, by architecture.layers.2.layers.0.tie.weight"
