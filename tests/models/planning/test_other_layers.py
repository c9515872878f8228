"""Adding, removing, renaming and reordering layers: every other tensor keeps its bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from tests.support.transformers_specs import architecture

# Layers whose own init is of every kind: draws, shared draws, clones, a QR, a zeroed row.
LAYERS: dict[str, dict[str, Any]] = {
    "embed": {"type": "Embedding", "num_embeddings": 9, "embedding_dim": 8, "padding_idx": 2},
    "encoder": {
        "type": "TransformerEncoder",
        "num_layers": 2,
        "encoder_layer": {"type": "TransformerEncoderLayer", "d_model": 8, "nhead": 2}
        | {"dim_feedforward": 16},
    },
    "recurrent": {"type": "LSTM", "input_size": 8, "hidden_size": 4, "num_layers": 2},
    "pair": {
        "type": "Repeat",
        "count": 2,
        "layer": {"type": "Linear", "in_features": 8, "out_features": 8},
    },
    "norm": {"type": "LayerNorm", "normalized_shape": 8},
    "head": {"type": "Linear", "in_features": 8, "out_features": 3},
}
RULES = [
    {"match": {"name": "head.weight"}, "initializer": {"type": "orthogonal"}},
    {"match": {"name": "pair.**.weight"}, "initializer": {"type": "sparse", "sparsity": 0.5}},
]


def tensors(architecture: dict[str, Any], rules: Any = ()) -> dict[str, bytes]:
    """The bytes of every tensor, by name."""
    optional = [rule | {"optional": True} for rule in rules]
    spec = {"architecture": architecture, "init": {"seed": 5, "rules": optional}}
    made = make_plan(parse_spec(spec))
    evaluator, found = Evaluator(made.plan, made.blobs), {}
    for number, tensor in enumerate(made.plan.tensors):
        out = np.empty(tensor.nbytes, np.uint8)
        evaluator.fill(number, 0, tensor.numel, out)
        found[tensor.name] = out.tobytes()
    return found


def tree(layers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {"type": "Module", "children": layers}


def under(name: str, found: dict[str, bytes]) -> dict[str, bytes]:
    return {key: value for key, value in found.items() if key.startswith(f"{name}.")}


WHOLE = tensors(tree(LAYERS), RULES)


@pytest.mark.parametrize("gone", LAYERS)
def test_a_layer_that_is_removed_leaves_the_others_as_they_were(gone: str) -> None:
    rest = {name: layer for name, layer in LAYERS.items() if name != gone}
    expected = {key: value for key, value in WHOLE.items() if not key.startswith(f"{gone}.")}
    assert tensors(tree(rest), RULES) == expected


@pytest.mark.parametrize("place", range(len(LAYERS) + 1))
def test_a_layer_that_is_added_anywhere_leaves_the_others_as_they_were(place: int) -> None:
    layers = list(LAYERS.items())
    added = ("new", {"type": "Linear", "in_features": 8, "out_features": 8})
    found = tensors(tree(dict([*layers[:place], added, *layers[place:]])), RULES)
    assert {**WHOLE, **under("new", found)} == found


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_is_renamed_leaves_the_others_as_they_were(name: str) -> None:
    layers = {("renamed" if key == name else key): layer for key, layer in LAYERS.items()}
    found = tensors(tree(layers), RULES)
    expected = {key: value for key, value in WHOLE.items() if not key.startswith(f"{name}.")}
    assert {**expected, **under("renamed", found)} == found


def test_the_order_of_layers_is_nothing_to_their_values() -> None:
    assert tensors(tree(dict(reversed(LAYERS.items()))), RULES) == WHOLE


def test_one_more_copy_leaves_the_others_as_they_were() -> None:
    three = LAYERS | {"pair": LAYERS["pair"] | {"count": 3}}
    found = tensors(tree(three), RULES)
    assert set(found) - set(WHOLE) == {"pair.2.weight", "pair.2.bias"}
    assert found == {**found, **WHOLE}


DEPTHS = {
    "LlamaForCausalLM": "num_hidden_layers",
    "BertForMaskedLM": "num_hidden_layers",
    "ViTForImageClassification": "num_hidden_layers",
    "MambaForCausalLM": "num_hidden_layers",
    "MixtralForCausalLM": "num_hidden_layers",
    "T5ForConditionalGeneration": "num_layers",
    "WhisperForConditionalGeneration": "decoder_layers",
}


@pytest.mark.parametrize("model", DEPTHS)
def test_a_model_of_another_depth_shares_every_tensor_of_both(model: str) -> None:
    two = tensors(architecture(model, **{DEPTHS[model]: 2}))
    three = tensors(architecture(model, **{DEPTHS[model]: 3}))
    assert set(two) < set(three) and three == {**three, **two}


@pytest.mark.parametrize(
    ("model", "head"),
    [
        ("BertForMaskedLM", "BertForSequenceClassification"),
        ("LlamaForCausalLM", "LlamaForTokenClassification"),
        ("GPT2LMHeadModel", "GPT2ForSequenceClassification"),
        ("ViTForImageClassification", "ViTForMaskedImageModeling"),
        ("T5ForConditionalGeneration", "T5EncoderModel"),
    ],
)
def test_a_model_with_another_head_has_the_same_trunk(model: str, head: str) -> None:
    one, other = tensors(architecture(model)), tensors(architecture(model) | {"class": head})
    shared = set(one) & set(other)
    assert len(shared) > 10
    assert {name: one[name] for name in shared} == {name: other[name] for name in shared}
