"""Containers, names and custom layers: the modules of a script, or faults at their places."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import nn

from seedpoint.models.architectures import normalized, parse
from seedpoint.models.dtypes import BY_NAME, DTYPES
from tests.support.places import ROOT
from tests.support.trees import (
    RELU,
    Document,
    assert_same,
    built,
    faults,
    linear,
    paths,
    ref,
    repeat,
    sequential,
)

# --- containers --------------------------------------------------------------------------


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


def test_the_layers_of_a_sequential_are_an_object_too() -> None:
    as_list = sequential(linear(name="in"), RELU, linear(4, 2, name="out"))
    as_object = {"type": "Sequential", "layers": {"in": linear(), "1": RELU, "out": linear(4, 2)}}
    assert_same(built(as_object).module, built(as_list).module)
    assert normalized(parse(as_object)) == normalized(parse(as_list)) == as_list
    assert paths({"type": "Sequential", "layers": {"a": linear(name="b")}}) == [
        "architecture.layers.a.name"
    ]


def test_a_module_has_parameters_and_buffers_beside_its_children() -> None:
    document = {
        "type": "Module",
        "children": {"proj": linear()},
        "parameters": {"scale": {"shape": [4]}},
        "buffers": [{"name": "steps", "shape": [], "dtype": "int64"}],
    }
    module = built(document).module
    assert type(module) is nn.Module
    assert list(module.state_dict()) == ["scale", "steps", "proj.weight", "proj.bias"]
    assert isinstance(module.scale, nn.Parameter)
    canonical = normalized(parse(document))
    assert canonical["parameters"] == [{"name": "scale", "shape": [4]}]
    assert normalized(parse(canonical)) == canonical


def test_a_custom_layer_has_children_and_a_class_name() -> None:
    block = {
        "type": "Custom",
        "class_name": "Block",
        "parameters": {"scale": {"shape": [4]}},
        "children": [linear(name="proj")],
    }
    module = built(block).module
    assert type(module).__name__ == "Block"
    assert list(module.state_dict()) == ["scale", "proj.weight", "proj.bias"]
    assert normalized(parse(block))["children"] == [linear(name="proj")]


def test_a_name_of_a_tensor_is_no_name_of_a_child() -> None:
    document = {
        "type": "Module",
        "children": {"x": linear()},
        "parameters": {"x": {"shape": [4]}},
    }
    assert paths(document) == ["architecture.children.x"]


def test_a_canonical_form_takes_time_in_proportion_to_the_depth() -> None:
    document: dict[str, Any] = linear()
    for _ in range(60):
        document = {"type": "Module", "children": [{**document, "name": "inner"}]}
    assert normalized(parse(document)) == document


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


# --- names -------------------------------------------------------------------------------


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
    nested = '; nest it: "a": {"type": "Module", "children": {"b": ...}}' if name == "a.b" else ""
    words = f"torch: {real.value.args[0]}{nested}"
    assert faults(listed) == [(f"architecture.{key}.0.name", words)]
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


# --- Custom ------------------------------------------------------------------------------


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


# --- canonical form and speed ------------------------------------------------------------


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
        "import sys; from seedpoint.models.architectures import check, parse;"
        "check(parse({'type': 'Embedding', 'num_embeddings': 50257, 'embedding_dim': 768}));"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
