"""Words of other libraries: each message says what to write in their place."""

from __future__ import annotations

from typing import Any

import pytest

from seedpoint.models.errors import SpecError
from seedpoint.models.spec.schema import parse_spec

LINEAR = {"type": "Linear", "in_features": 4, "out_features": 4}


def fault(architecture: Any, **rule: Any) -> str:
    """Return the only fault of a spec with this architecture and a rule for every tensor."""
    init = {"rules": [{"match": {}, "initializer": {"type": "zeros"}, **rule}]}
    with pytest.raises(SpecError) as caught:
        parse_spec({"architecture": architecture, "init": init})
    (found,) = caught.value.faults
    return str(found)


@pytest.mark.parametrize(
    ("layer", "hint"),
    [
        (
            {"type": "torch.nn.Parameter", "shape": [1, 1, 192]},
            (
                "a Module holds it beside its children: "
                '{"type": "Module", "parameters": {"cls_token": {"shape": [1, 1, 192]}}}'
            ),
        ),
        (
            {"type": "Buffer", "name": "mask", "shape": "large"},
            (
                "a Module holds it beside its children: "
                '{"type": "Module", "buffers": {"mask": {"shape": [5, 3]}}}'
            ),
        ),
        (
            {"type": "torch.nn.utils.parametrizations.weight_norm", "module": LINEAR},
            'give the layer the key "parametrizations": {"weight": {"type": "weight_norm"}}',
        ),
        (
            {"type": "torchvision.models.resnet50", "num_classes": 80},
            'write {"type": "torchvision", "model": "resnet50"}',
        ),
        ({"type": "timm.resnet18"}, 'write {"type": "timm", "model": "resnet18"}'),
        (
            {"type": "transformers.GPT2LMHeadModel"},
            (
                'write {"type": "transformers", "class": "GPT2LMHeadModel", '
                '"config": {"model_type": "..."}}'
            ),
        ),
        (
            {"type": "LlamaForCausalLM"},
            (
                'write {"type": "transformers", "class": "LlamaForCausalLM", '
                '"config": {"model_type": "..."}}'
            ),
        ),
        ({"type": "Sine"}, "did you mean 'Identity'?"),
        ({"type": "BasicBlock"}, "did you mean 'Module'?"),
    ],
)
def test_a_type_of_another_library_has_a_place(layer: Any, hint: str) -> None:
    where = "architecture.layers.cls_token.type"
    shown = fault({"type": "Sequential", "layers": {"cls_token": layer}})
    assert shown == f'{where}: unknown type "{layer["type"]}"; {hint}'


@pytest.mark.parametrize("name", ["gpt2", "openai-community/gpt2", "NousResearch/Meta-Llama-3-8B"])
def test_a_model_s_name_is_no_type_but_may_be_a_preset(name: str) -> None:
    assert f'a model by its name is {{"type": "preset", "name": "{name}"}}' in fault({"type": name})


def test_a_list_of_all_layers_names_the_containers_and_the_models() -> None:
    assert fault({"in_features": 4}) == (
        "architecture.type: missing; known: Sequential, Module, ModuleDict, ModuleList, Repeat, "
        "Ref, Custom, ..., tensors, transformers, timm, torchvision, preset (143 in all)"
    )


def test_every_initializer_and_transform_is_named() -> None:
    shown = fault(LINEAR, initializer={"type": "lstm_bias"})
    assert "known: uniform, normal," in shown and shown.endswith("sum, copy, norms, values, own")
    assert fault(LINEAR, transforms=[{"type": "quux"}]).endswith("zero_rows, set")


def test_layers_alone_belong_in_a_sequential() -> None:
    assert fault({"fc1": LINEAR, "fc2": LINEAR}) == (
        'architecture.type: missing; write {"type": "Sequential", "layers": {...}} '
        "around these layers"
    )


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("torch.randn", "did you mean 'normal'?"),
        ("fill_", "did you mean 'constant'?"),
        (
            "jax.nn.initializers.lecun_normal",
            "did you mean 'lecun_normal' or 'lecun_uniform' or 'he_normal'?",
        ),
    ],
)
def test_an_initializer_of_another_library_has_near_ones(kind: str, hint: str) -> None:
    shown = fault(LINEAR, initializer={"type": kind})
    assert shown == f'init.rules.0.initializer.type: unknown type "{kind}"; {hint}'


def test_an_argument_of_a_model_belongs_in_its_open_field() -> None:
    assert fault({"type": "preset", "name": "gpt2", "n_layer": 4}) == (
        "architecture.n_layer: unknown argument; the model's own belong in `overrides`: "
        "overrides.n_layer; allowed: type, name, tie, input_shape, overrides"
    )
    named = {"type": "torchvision", "model": "resnet18", "num_classes": 80}
    assert "the model's own belong in `args`: args.num_classes" in fault(named)


def test_a_container_says_how_its_layers_are_copied() -> None:
    assert fault({"type": "Sequential", "layers": [LINEAR], "repeat": 3}) == (
        "architecture.repeat: unknown argument; copies of a layer are "
        '{"type": "Repeat", "count": 3, "layer": {...}}; '
        "allowed: type, layers, name, tie, input_shape"
    )


def test_the_shape_of_a_list_of_tensors_is_an_entry_of_it() -> None:
    shown = fault({"type": "tensors", "shape": [1, 192], "tensors": {}})
    assert shown.startswith("architecture.shape: unknown argument; did you mean 'tensors'?")


def test_an_object_is_expected_with_its_keys() -> None:
    assert fault(LINEAR, splits=4) == (
        "init.rules.0.splits: expected an object with `parts` and optional `axis`, `repeat` "
        "or null, not 4"
    )
    assert fault(LINEAR, splits={"axis": 0}) == (
        "init.rules.0.splits.parts: missing; a list of at least 1 and at most 100000, each "
        "an object with `size` and optional `as`, `initializer`, `transforms`, `fan`"
    )


def test_an_object_of_names_is_expected_with_an_example() -> None:
    assert fault({**LINEAR, "parametrizations": ["weight_norm"]}) == (
        "architecture.parametrizations: expected an object, not a list of 1; "
        'for example {"weight": {"dim": 0, "type": "weight_norm"}}'
    )
