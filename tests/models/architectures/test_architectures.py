"""Architectures: the same modules as a script's, or faults at the caller's own places."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from models.architectures import (
    Built,
    NamedTensor,
    TensorList,
    build,
    check,
    check_depth,
    construct,
    limits,
    normalized,
    parse,
)
from models.dtypes import BY_NAME, DTYPES
from models.errors import SpecError
from tests.support.places import ROOT

Document = dict[str, Any]
RELU: Document = {"type": "ReLU"}


def linear(inputs: int = 4, outputs: int = 4, **more: Any) -> Document:
    return {"type": "Linear", "in_features": inputs, "out_features": outputs, **more}


def sequential(*layers: Document, **more: Any) -> Document:
    return {"type": "Sequential", "layers": list(layers), **more}


def ref(target: str, **more: Any) -> Document:
    return {"type": "Ref", "ref": target, **more}


def repeat(count: int, layer: Document, **more: Any) -> Document:
    return {"type": "Repeat", "count": count, "layer": layer, **more}


def built(document: Document, seed: int = 3) -> Built:
    torch.manual_seed(seed)
    result = build(parse(document))
    assert isinstance(result, Built)
    return result


def faults(document: Any, **limits: int) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        build(parse(document), **limits)
    return [(fault.path, fault.message) for fault in caught.value.faults]


def paths(document: Any, **limits: int) -> list[str]:
    return [path for path, _ in faults(document, **limits)]


def assert_same(module: nn.Module, expected: nn.Module) -> None:
    found, wanted = module.state_dict(), expected.state_dict()
    assert list(found) == list(wanted)
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    assert str(module) == str(expected)


# --- containers ------------------------------------------------------------------


def test_a_sequential_is_the_script_s_with_names_or_indices() -> None:
    document = sequential(linear(20, 256, name="hidden"), RELU, linear(256, 10, name="output"))
    result = built(document)
    torch.manual_seed(3)
    layers = [("hidden", nn.Linear(20, 256)), ("1", nn.ReLU()), ("output", nn.Linear(256, 10))]
    assert_same(result.module, nn.Sequential(OrderedDict(layers)))
    assert result.paths == {
        "": "architecture",
        "hidden": "architecture.layers.0",
        "1": "architecture.layers.1",
        "output": "architecture.layers.2",
    }


@pytest.mark.parametrize("kind", ["Module", "ModuleDict"])
def test_children_are_a_list_of_named_layers_or_an_object_in_document_order(kind: str) -> None:
    as_list = {"type": kind, "children": [linear(name="z"), linear(2, 3, name="a")]}
    as_object = {"type": kind, "children": {"z": linear(), "a": linear(2, 3)}}
    assert_same(built(as_list).module, built(as_object).module)
    assert next(iter(built(as_object).module.state_dict())) == "z.weight"
    assert normalized(parse(as_object)) == normalized(parse(as_list)) == as_list
    assert built(as_list).paths["a"] == "architecture.children.1"
    assert built(as_object).paths["a"] == "architecture.children.a"
    assert type(built(as_list).module) is getattr(nn, kind)


def test_a_module_list_is_torch_s() -> None:
    result = built({"type": "ModuleList", "layers": [linear(), linear(2, 3)]})
    torch.manual_seed(3)
    assert_same(result.module, nn.ModuleList([nn.Linear(4, 4), nn.Linear(2, 3)]))


def test_a_repeat_is_a_sequential_of_copies_constructed_anew() -> None:
    result = built(sequential(repeat(3, sequential(linear(), RELU), name="blocks")))
    torch.manual_seed(3)
    copies = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3)))
    assert_same(result.module, nn.Sequential(OrderedDict(blocks=copies)))
    first, second = result.module.blocks[0][0].weight, result.module.blocks[1][0].weight
    assert not torch.equal(first, second)
    assert result.paths["blocks.2.0"] == "architecture.layers.0.layer.layers.0"
    assert result.path_of("blocks.1.0.weight") == "architecture.layers.0.layer.layers.0"
    assert built(repeat(0, linear())).module.state_dict() == {}


def test_module_valued_arguments_are_layers_constructed_first() -> None:
    layer = {"type": "TransformerEncoderLayer", "d_model": 8, "nhead": 2}
    norm = {"type": "LayerNorm", "normalized_shape": 8}
    result = built(
        {"type": "TransformerEncoder", "encoder_layer": layer, "num_layers": 2, "norm": norm}
    )
    torch.manual_seed(3)
    real = nn.TransformerEncoderLayer(8, 2)
    expected = nn.TransformerEncoder(real, 2, nn.LayerNorm(8), enable_nested_tensor=False)
    assert_same(result.module, expected)
    assert result.paths == {"": "architecture", "norm": "architecture.norm"}
    assert result.path_of("layers.1.linear1.weight") == "architecture"


def test_a_whole_transformer_takes_an_encoder_of_one_s_own() -> None:
    encoder = sequential(linear(16, 16), ref("encoder.0"))
    sizes = {"d_model": 16, "nhead": 2, "num_decoder_layers": 1, "dim_feedforward": 8}
    result = built({"type": "Transformer", **sizes, "custom_encoder": encoder})
    torch.manual_seed(3)
    own = nn.Sequential(nn.Linear(16, 16))
    own.append(own[0])
    expected = nn.Transformer(16, 2, num_decoder_layers=1, dim_feedforward=8, custom_encoder=own)
    assert_same(result.module, expected)
    assert result.paths["encoder.0"] == "architecture.custom_encoder.layers.0"


# --- names -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["größe", "blank ", "a/b", "e\u0301", "\u00e9", "层", "0"])
def test_a_name_is_kept_exactly_as_it_is(name: str) -> None:
    result = built({"type": "Module", "children": {name: linear()}})
    assert list(result.module.state_dict()) == [f"{name}.weight", f"{name}.bias"]


@pytest.mark.parametrize("container", ["Module", "ModuleDict", "Sequential"])
@pytest.mark.parametrize("name", ["a.b", "", "forward", "training", "_modules"])
def test_a_name_that_torch_refuses_is_a_fault_in_torch_s_words(container: str, name: str) -> None:
    with pytest.raises(KeyError) as real:
        getattr(nn, container)().add_module(name, nn.ReLU())
    key = "layers" if container == "Sequential" else "children"
    listed = {"type": container, key: [{"name": name, **RELU}]}
    assert faults(listed) == [(f"architecture.{key}.0.name", f"torch: {real.value.args[0]}")]
    if container == "Module":
        path = 'architecture.children["a.b"]' if name == "a.b" else f"architecture.children.{name}"
        path = 'architecture.children[""]' if name == "" else path
        assert paths({"type": container, "children": {name: RELU}}) == [path]


def test_a_lone_surrogate_in_a_name_is_a_fault() -> None:
    assert faults(sequential(linear(name="a\ud800"))) == [
        (
            "architecture.layers.0.name",
            "holds a lone surrogate, which UTF-8 cannot encode",
        )
    ]
    assert paths({"type": "Module", "children": {"a\ud800": RELU}}) == [
        r'architecture.children["a\ud800"]'
    ]


def test_a_name_given_twice_is_a_fault_of_the_second() -> None:
    assert faults(sequential(linear(name="a"), linear(name="a"))) == [
        ("architecture.layers.1.name", "'a' is already the name of architecture.layers.0")
    ]
    assert paths(sequential(linear(name="1"), linear())) == ["architecture.layers.1"]
    assert paths({"type": "Module", "children": [RELU | {"name": "x"}] * 3}) == [
        "architecture.children.1.name",
        "architecture.children.2.name",
    ]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (linear(name="x"), "architecture.name"),
        ({"type": "ModuleList", "layers": [linear(name="x")]}, "architecture.layers.0.name"),
        (repeat(2, linear(name="x")), "architecture.layer.name"),
        ({"type": "Module", "children": {"x": linear(name="x")}}, "architecture.children.x.name"),
        ({"type": "Module", "children": [linear()]}, "architecture.children.0.name"),
        (
            {"type": "TransformerEncoder", "num_layers": 1}
            | {"encoder_layer": {"type": "ReLU", "name": "x"}},
            "architecture.encoder_layer.name",
        ),
    ],
)
def test_a_name_is_given_exactly_where_the_container_asks_for_it(
    document: Document, path: str
) -> None:
    assert paths(document) == [path]


# --- Ref -------------------------------------------------------------------------


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
        ("b", "'b' holds this layer"),
        ("", "'' holds this layer"),
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


# --- tie -------------------------------------------------------------------------


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
        ({"wieght": "0.weight"}, "wieght", "no tensor 'wieght' here; known: weight"),
        ({"weight": "0.wieght"}, "weight", "no tensor '0.wieght'; known: 0.weight"),
        ({"weight": "nope"}, "weight", "no tensor 'nope'"),
        ({"weight": "1.weight"}, "weight", "'1.weight' is this tensor itself"),
        ({"weight": "0.bias"}, "weight", "'0.bias' has shape [3], this [4, 4]"),
        ({"bias": "2.mean"}, "bias", "'2.mean' is a buffer, this a parameter"),
        ({"a.weight": "0.weight"}, '["a.weight"]', "no tensor 'a.weight' here"),
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


# --- Custom ----------------------------------------------------------------------


def test_a_custom_layer_has_exactly_its_tensors_in_document_order() -> None:
    document = {
        "type": "Custom",
        "parameters": {"scale": {"shape": [5, 3]}, "codes": {"shape": [2], "dtype": "int8"}},
        "buffers": [{"name": "count", "shape": [], "dtype": "I64"}],
        "class_name": "Gate",
    }
    module = built(document).module
    assert type(module).__name__ == "Gate"
    assert [cls.__name__ for cls in type(module).__mro__[:3]] == ["Gate", "Custom", "Module"]
    assert list(module.state_dict()) == ["scale", "codes", "count"]
    assert module.scale.shape == (5, 3)
    assert module.scale.requires_grad
    assert module.codes.dtype == torch.int8
    assert module.count.shape == ()
    assert normalized(parse(document)) == {
        "type": "Custom",
        "parameters": [
            {"name": "scale", "shape": [5, 3]},
            {"name": "codes", "shape": [2], "dtype": "int8"},
        ],
        "buffers": [{"name": "count", "shape": [], "dtype": "int64"}],
        "class_name": "Gate",
    }
    assert type(built({"type": "Custom"}).module).__name__ == "Custom"


@pytest.mark.parametrize("dtype", [dtype.name for dtype in DTYPES])
def test_a_custom_tensor_can_have_every_dtype(dtype: str) -> None:
    entry = {"w": {"shape": [2, 0], "dtype": dtype}}
    module = built({"type": "Custom", "parameters": entry}).module
    assert module.w.dtype == BY_NAME[dtype].torch


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"parameters": [{"name": "a.b", "shape": []}]}, "parameters.0.name"),
        ({"parameters": {"a.b": {"shape": []}}}, 'parameters["a.b"]'),
        ({"parameters": {"forward": {"shape": []}}}, "parameters.forward"),
        ({"parameters": {"": {"shape": []}}}, 'parameters[""]'),
        ({"parameters": {"w": {"shape": [1]}}, "buffers": {"w": {"shape": [1]}}}, "buffers.w"),
        ({"parameters": [{"name": "w", "shape": []}] * 2}, "parameters.1.name"),
        ({"parameters": {"w": {"shape": [-1]}}}, "parameters.w.shape.0"),
        ({"parameters": {"w": {"shape": [2.0]}}}, "parameters.w.shape.0"),
        ({"parameters": {"w": {"shape": 3}}}, "parameters.w.shape"),
        ({"parameters": {"w": {}}}, "parameters.w.shape"),
        ({"parameters": {"w": {"shape": [2**53]}}}, "parameters.w.shape.0"),
        ({"parameters": {"w": {"shape": [2**27, 2**27]}}}, "parameters.w.shape"),
        ({"parameters": {"w": {"shape": [0, 2**40, 2**40]}}}, "parameters.w.shape"),
        ({"parameters": {"w": {"shape": [1] * 65}}}, "parameters.w.shape"),
        ({"parameters": {"w": {"shape": [1], "dtype": "float99"}}}, "parameters.w.dtype"),
        ({"class_name": "not a name"}, "class_name"),
    ],
)
def test_a_custom_tensor_that_cannot_be_is_a_fault(more: Document, path: str) -> None:
    assert paths({"type": "Custom", **more}) == [f"architecture.{path}"]


@pytest.mark.parametrize(
    ("entries", "path", "expected"),
    [
        ({"w": [5, 3]}, "w", '{"shape": [5, 3]}, not a list of 2'),
        ({"w": ["x"]}, "w", '{"shape": [5, 3]}, not a list of 1'),
        ([[4]], "0", '{"name": ..., "shape": [4]}, not a list of 1'),
    ],
)
def test_a_shape_alone_is_told_how_it_is_written(entries: Any, path: str, expected: str) -> None:
    told = faults({"type": "Custom", "parameters": entries})
    assert told == [(f"architecture.parameters.{path}", f"expected {expected}")]


# --- Lazy ------------------------------------------------------------------------


def convolutional() -> tuple[Document, nn.Sequential]:
    document = sequential(
        {"type": "LazyConv2d", "out_channels": 6, "kernel_size": 3},
        {"type": "LazyBatchNorm2d"},
        {"type": "Dropout"},
        sequential({"type": "Flatten"}, linear(6 * 36, 9)),
        repeat(2, {"type": "LazyLinear", "out_features": 5}),
        input_shape=[2, 3, 8, 8],
    )
    module = nn.Sequential(
        nn.LazyConv2d(6, 3),
        nn.LazyBatchNorm2d(),
        nn.Dropout(),
        nn.Sequential(nn.Flatten(), nn.Linear(6 * 36, 9)),
        nn.Sequential(nn.LazyLinear(5), nn.LazyLinear(5)),
    )
    return document, module


def test_lazy_layers_draw_what_a_dry_forward_pass_draws() -> None:
    torch.manual_seed(3)
    document, expected = convolutional()
    expected.eval()(torch.zeros(2, 3, 8, 8))
    result = built(document)
    assert_same(result.module, expected)
    assert [type(m) for m in result.module.modules()] == [type(m) for m in expected.modules()]
    assert result.module.training
    assert normalized(parse(document)) == document


def test_a_lazy_layer_after_an_embedding_takes_indices() -> None:
    embed = {"type": "Embedding", "num_embeddings": 9, "embedding_dim": 3}
    lazy = {"type": "LazyLinear", "out_features": 5}
    assert built(sequential(embed, lazy, input_shape=[2, 7])).module[1].weight.shape == (5, 3)


def test_the_shape_passes_a_module_s_second_name_too() -> None:
    pool = {"type": "AvgPool1d", "kernel_size": 2, "name": "pool"}
    lazy = {"type": "LazyLinear", "out_features": 5}
    module = built(sequential(pool, ref("pool"), lazy, input_shape=[2, 3, 8])).module
    assert module[2].in_features == 2


def test_checking_draws_no_random_number_and_makes_no_large_tensor() -> None:
    document, _ = convolutional()
    huge = linear(10**7, 10**7)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    check(parse(document))
    check(
        parse(sequential(huge, {"type": "LazyLinear", "out_features": 1}, input_shape=[1, 10**7]))
    )
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        (
            sequential({"type": "LazyLinear", "out_features": 5}),
            "architecture.input_shape",
            "missing; LazyLinear at architecture.layers.0",
        ),
        (
            {"type": "Module", "children": {"a": {"type": "LazyLinear", "out_features": 5}}}
            | {"input_shape": [1, 2]},
            "architecture.children.a",
            "LazyLinear can only be in a chain of Sequential and Repeat layers",
        ),
        (
            sequential(linear(3, 4), {"type": "LazyLinear", "out_features": 5}, input_shape=[1, 2]),
            "architecture.layers.0",
            "input_shape arrives here as [1, 2]: torch:",
        ),
        (
            sequential(
                {"type": "LSTM", "input_size": 2, "hidden_size": 3},
                {"type": "LazyLinear", "out_features": 5},
                input_shape=[1, 2],
            ),
            "architecture.layers.1",
            "input_shape arrives here as []: torch:",
        ),
        (
            sequential(
                {"type": "Custom"},
                {"type": "LazyLinear", "out_features": 5},
                input_shape=[1, 2],
            ),
            "architecture.layers.0",
            "input_shape arrives here as [1, 2]: torch:",
        ),
        (
            sequential(
                {"type": "LazyConv1d", "out_channels": 4, "kernel_size": 1, "groups": 2},
                input_shape=[1, 3, 5],
            ),
            "architecture.layers.0",
            "input_shape arrives here as [1, 3, 5]: torch: in_channels must be divisible",
        ),
        (
            sequential({"type": "LazyLinear", "out_features": 5}, input_shape=[2**40, 2**40]),
            "architecture.input_shape",
            "torch: ",
        ),
        (
            sequential(sequential(RELU, input_shape=[1, 2])),
            "architecture.layers.0.input_shape",
            "only the top of an architecture takes input_shape",
        ),
    ],
)
def test_a_lazy_layer_without_a_shape_is_a_fault_that_says_why(
    document: Document, path: str, words: str
) -> None:
    ((found, message),) = faults(document)
    assert found == path
    assert message.startswith(words)


class Watch(TorchDispatchMode):
    """Notes every tensor an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: set[str] = set()
        self.operations: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations.append(str(func))
        if isinstance(result, torch.Tensor):
            self.devices.add(result.device.type)
        return result


def test_a_recorder_sees_a_construction_and_nothing_of_its_checks() -> None:
    document, _ = convolutional()
    # A kernel that the check constructs on the meta device.
    document["layers"].append(
        {"type": "Conv1d", "in_channels": 1, "out_channels": 1, "kernel_size": 2**17}
    )
    expected = built(document)
    with Watch() as watch:
        result = built(document)
    assert_same(result.module, expected.module)
    assert watch.devices == {"cpu"}
    blueprint = check(parse(document))
    with Watch() as again:
        torch.manual_seed(3)
        module = construct(blueprint).module
    assert_same(module, expected.module)
    assert again.operations == watch.operations


# --- limits ----------------------------------------------------------------------


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


# --- tensors ---------------------------------------------------------------------


def test_a_list_of_tensors_is_not_built_but_listed() -> None:
    entries = [
        {"name": "model.embed/kernel", "shape": [3, 4], "dtype": "bfloat16"},
        {"name": "step", "shape": [], "dtype": "I64"},
        {"name": "b", "shape": [0]},
    ]
    document = {"type": "tensors", "tensors": entries}
    result = build(parse(document))
    assert result == TensorList(
        (
            NamedTensor(
                "model.embed/kernel", (3, 4), BY_NAME["bfloat16"], "architecture.tensors.0"
            ),
            NamedTensor("step", (), BY_NAME["int64"], "architecture.tensors.1"),
            NamedTensor("b", (0,), BY_NAME["float32"], "architecture.tensors.2"),
        )
    )
    entries[1]["dtype"] = "int64"
    assert normalized(parse(document)) == document


def test_a_safetensors_header_is_the_list_it_describes() -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "a.weight": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
        "a.bias": {"dtype": "F32", "shape": [2], "data_offsets": [12, 20]},
    }
    document = {"type": "tensors", "header": header}
    result = build(parse(document))
    assert isinstance(result, TensorList)
    assert [(t.name, t.shape, t.dtype.code) for t in result.tensors] == [
        ("a.weight", (2, 3), "BF16"),
        ("a.bias", (2,), "F32"),
    ]
    assert result.tensors[0].path == 'architecture.header["a.weight"]'
    assert normalized(parse(document)) == {
        "type": "tensors",
        "tensors": [
            {"name": "a.weight", "shape": [2, 3], "dtype": "bfloat16"},
            {"name": "a.bias", "shape": [2]},
        ],
    }


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({}, ""),
        ({"tensors": [], "header": {}}, ""),
        ({"tensors": [{"name": "a", "shape": []}] * 2}, ".tensors.1.name"),
        ({"tensors": [{"name": "", "shape": []}]}, ".tensors.0.name"),
        ({"tensors": {"__metadata__": {"shape": []}}}, ".tensors.__metadata__"),
        ({"tensors": [{"name": "a"}]}, ".tensors.0.shape"),
        ({"tensors": [{"shape": []}]}, ".tensors.0.name"),
        ({"tensors": {"a.b": {"shape": [True]}}}, '.tensors["a.b"].shape.0'),
        ({"header": {"a.b": {"dtype": "float32", "shape": []}}}, '.header["a.b"].dtype'),
        (
            {"header": {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}},
            ".header.a.data_offsets",
        ),
        ({"tensors": [], "name": "x"}, ".name"),
    ],
)
def test_a_list_of_tensors_that_cannot_be_is_a_fault(more: Document, path: str) -> None:
    assert paths({"type": "tensors", **more}) == [f"architecture{path}"]


def test_a_list_of_tensors_is_no_layer() -> None:
    assert paths(sequential({"type": "tensors", "tensors": []})) == ["architecture.layers.0.type"]


# --- canonical form and speed ------------------------------------------------------


def test_the_canonical_form_is_minimal_and_builds_the_same() -> None:
    document = sequential(
        linear(bias=True, name="0"),
        linear(name="second", tie={"weight": "0.weight"}),
        repeat(2, {"type": "Module", "children": {"x": linear(), "y": ref("second")}}, name="r"),
        {"type": "Conv2d", "in_channels": 1, "out_channels": 2, "kernel_size": [1, 2]},
        input_shape=None,
    )
    short = normalized(parse(document))
    assert short["layers"][0] == linear()
    assert short["layers"][2]["layer"]["children"] == [
        linear(name="x"),
        {"type": "Ref", "ref": "second", "name": "y"},
    ]
    assert "input_shape" not in short
    assert normalized(parse(short)) == short
    assert_same(built(short).module, built(document).module)


def test_a_large_embedding_is_checked_without_torchs_compiler() -> None:
    script = (
        "import sys; from models.architectures import check, parse;"
        "check(parse({'type': 'Embedding', 'num_embeddings': 50257, 'embedding_dim': 768}));"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
