"""Plain lists of tensors, and headers of existing files."""

from __future__ import annotations

import pytest

from seedpoint.models.architectures import NamedTensor, TensorList, build, normalized, parse
from seedpoint.models.dtypes import BY_NAME
from tests.support.trees import (
    Document,
    built,
    faults,
    paths,
    sequential,
)


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


def test_a_list_of_tensors_in_a_tree_is_modules_by_the_parts_of_its_names() -> None:
    listed = {"a.b.weight": {"shape": [2, 3]}, "a.scale": {"shape": [], "dtype": "int64"}}
    result = built(sequential({"type": "tensors", "tensors": listed}))
    assert [(name, tuple(value.shape)) for name, value in result.module.state_dict().items()] == [
        ("0.a.scale", ()),
        ("0.a.b.weight", (2, 3)),
    ]
    assert result.path_of("0.a.b.weight") == "architecture.layers.0"


@pytest.mark.parametrize("names", [("a", "a.b"), ("a.b", "a"), ("a..b",), ("a.",), ("a.train",)])
def test_names_that_modules_cannot_hold_are_faults_in_a_tree(names: tuple[str, ...]) -> None:
    listed = [{"name": name, "shape": []} for name in names]
    place = f"architecture.layers.0.tensors.{len(names) - 1}"
    assert paths(sequential({"type": "tensors", "tensors": listed})) == [place]


def test_names_in_a_tree_are_not_nested_too_deep() -> None:
    listed = {".".join("a" * 100): {"shape": []}}
    [(_, message)] = faults(sequential({"type": "tensors", "tensors": listed}))
    assert message == "nested too deep; at most 64 layers"
