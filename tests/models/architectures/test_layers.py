"""The layers of torch.nn: every class, exactly its arguments, the same bits."""

from __future__ import annotations

import inspect
import pickle
import warnings
from typing import Any

import pytest
import torch
from jsonschema import Draft202012Validator
from torch import nn

from seedpoint.models.architectures import FOREIGN, build, catalogue, json_schema, normalized, parse
from seedpoint.models.architectures.arguments import LEFT_OUT, MINIMUM, arguments_of
from seedpoint.models.architectures.base import COMMON
from seedpoint.models.architectures.examples import example_of
from seedpoint.models.architectures.layers import EXCLUDED, LAYERS, TorchLayer
from seedpoint.models.architectures.module_counts import count_modules
from seedpoint.models.architectures.tensor_sizes import elements_bound
from seedpoint.models.architectures.tree import plant
from seedpoint.models.errors import SpecError

Document = dict[str, Any]
EXAMPLES: dict[str, Document] = {name: example_of(name, getattr(nn, name)) for name in LAYERS}
MODULE_CLASSES = {
    name: cls
    for name, cls in vars(nn).items()
    if inspect.isclass(cls) and issubclass(cls, nn.Module)
}
RECURRENT = ("RNN", "LSTM", "GRU")


def constructed(document: Document) -> nn.Module:
    """The module that a script would build by hand for `document`."""
    arguments = dict(document)
    cls = getattr(nn, arguments.pop("type"))
    shape = arguments.pop("input_shape", None)
    for name, value in arguments.items():
        if isinstance(value, dict):
            arguments[name] = constructed(value)
        elif isinstance(value, list):
            arguments[name] = tuple(value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: nn.Module = cls(**arguments)
        if shape is not None:
            module.eval()(torch.zeros(shape))
    return module


def paths(document: Document) -> list[str]:
    """The paths of the faults of a document that cannot be parsed or built."""
    with pytest.raises(SpecError) as caught:
        build(parse(document))
    return [fault.path for fault in caught.value.faults]


def test_every_module_class_of_torch_nn_is_a_layer_or_excluded_with_a_reason() -> None:
    assert sorted(MODULE_CLASSES) == sorted([*LAYERS, *EXCLUDED])


@pytest.mark.parametrize("name", [n for n, why in EXCLUDED.items() if why.startswith("a loss")])
def test_an_excluded_loss_has_nothing_to_initialize(name: str) -> None:
    assert not MODULE_CLASSES[name]().state_dict()


@pytest.mark.parametrize("name", LAYERS)
def test_an_example_builds_the_same_bits_as_direct_construction(name: str) -> None:
    torch.manual_seed(7)
    expected = constructed(EXAMPLES[name])
    state = torch.get_rng_state()
    torch.manual_seed(7)
    module = build(parse(EXAMPLES[name])).module
    assert torch.equal(torch.get_rng_state(), state)
    assert type(module) is type(expected)
    found, wanted = module.state_dict(), expected.state_dict()
    assert list(found) == list(wanted)
    for key, tensor in wanted.items():
        assert found[key].dtype == tensor.dtype
        assert torch.equal(found[key], tensor), key
    assert str(module) == str(expected)


@pytest.mark.parametrize("name", LAYERS)
def test_the_arguments_are_those_of_the_real_signature(name: str) -> None:
    fields = {k: v for k, v in LAYERS[name].model_fields.items() if k not in COMMON}
    cls = nn.RNNBase if name in RECURRENT else MODULE_CLASSES[name]
    real = {
        parameter.name: parameter
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    dropped = LEFT_OUT | {key for key in real if key.startswith("_")}
    if name in RECURRENT:
        dropped |= {"mode"} if name == "LSTM" else {"mode", "proj_size"}
    if name == "LinearCrossEntropyLoss":
        dropped |= {"weight", "options"}  # a tensor and a Python object
    assert set(fields) == real.keys() - dropped | ({"nonlinearity"} if name == "RNN" else set())
    for key, field in fields.items():
        if key == "nonlinearity":
            continue
        default = real[key].default
        assert field.is_required() == (default is inspect.Parameter.empty)
        if not field.is_required():
            assert field.default == ("relu" if callable(default) else default), key


def _integers(name: str) -> list[str]:
    schema = json_schema()["$defs"][name]["properties"]
    return [
        key
        for key in schema
        if key not in COMMON
        and any(
            branch.get("type") == "integer" for branch in [schema[key], *_branches(schema[key])]
        )
    ]


def _branches(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [*schema.get("oneOf", ()), *schema.get("anyOf", ())]


INTEGERS = [(name, key) for name in LAYERS for key in _integers(name)]


@pytest.mark.parametrize(("name", "key"), INTEGERS)
def test_every_integer_argument_has_a_considered_minimum(name: str, key: str) -> None:
    least = MINIMUM[f"{name}.{key}"] if f"{name}.{key}" in MINIMUM else MINIMUM[key]
    if least is not None:
        assert paths({**EXAMPLES[name], key: least - 1}) == [f"architecture.{key}"]
        assert paths({**EXAMPLES[name], key: -5}) == [f"architecture.{key}"]


@pytest.mark.parametrize(("name", "key"), INTEGERS)
def test_an_integer_is_no_string_boolean_or_float(name: str, key: str) -> None:
    for wrong in ("5", True, 2.0, {}, [[1]]):
        found = paths({**EXAMPLES[name], key: wrong})
        assert [path.removesuffix(".0") for path in found] == [f"architecture.{key}"]


# (A real forward pass of a Lazy layer has kernels that refuse to compute nothing.)
@pytest.mark.parametrize(("name", "key"), [n for n in INTEGERS if not n[0].startswith("Lazy")])
def test_the_smallest_value_builds_or_is_refused_in_torch_s_words(name: str, key: str) -> None:
    least = MINIMUM[f"{name}.{key}"] if f"{name}.{key}" in MINIMUM else MINIMUM[key]
    document = {**EXAMPLES[name], key: least or 0}
    assert outcome(document) == real_outcome(document)


def outcome(document: Document) -> str | dict[str, torch.Size]:
    """The shapes that a document builds, or the message of its only fault."""
    try:
        module = build(parse(document)).module
    except SpecError as error:
        (fault,) = error.faults
        return fault.message.rpartition("torch: ")[2]
    return {key: tensor.shape for key, tensor in module.state_dict().items()}


def real_outcome(document: Document) -> str | dict[str, torch.Size]:
    """The same of a script."""
    try:
        module = constructed(document)
    except (ValueError, AssertionError, RuntimeError, ArithmeticError) as error:
        return str(error).splitlines()[0]
    return {key: tensor.shape for key, tensor in module.state_dict().items()}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_goes_through_its_canonical_form_and_through_pickle(name: str) -> None:
    layer = parse(EXAMPLES[name])
    document = normalized(layer)
    assert document == EXAMPLES[name]
    assert parse(document) == layer
    assert pickle.loads(pickle.dumps(layer)) == layer


def test_defaults_given_in_full_are_left_out_of_the_canonical_form() -> None:
    document = {"type": "Linear", "in_features": 2, "out_features": 3, "bias": True, "tie": {}}
    document |= {"name": None, "input_shape": None}
    assert normalized(parse(document)) == {"type": "Linear", "in_features": 2, "out_features": 3}


@pytest.mark.parametrize("name", [n for n in LAYERS if n not in RECURRENT])
def test_the_census_counts_the_modules_of_every_class(name: str) -> None:
    layer = parse(EXAMPLES[name])
    assert isinstance(layer, TorchLayer)
    module = build(layer).module
    assert count_modules(plant(layer, ""), 10**6) == sum(1 for _ in module.modules())


@pytest.mark.parametrize("name", [n for n in LAYERS if not n.startswith("Lazy")])
def test_the_bound_of_a_layer_is_no_less_than_its_largest_tensor(name: str) -> None:
    document = EXAMPLES[name]
    if "hidden_size" in document and name in RECURRENT:
        document = {**document, "bidirectional": True, "num_layers": 2}
    layer = parse(document)
    assert isinstance(layer, TorchLayer)
    if layer.layers():
        return
    tensors = build(layer).module.state_dict().values()
    assert elements_bound(layer) >= max((tensor.numel() for tensor in tensors), default=0)


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry["type"])
def test_a_catalogue_entry_has_a_summary_and_an_example_that_works(entry: dict[str, Any]) -> None:
    assert entry["summary"].endswith(".")
    assert "__init__" not in entry["summary"]
    assert "`" not in entry["summary"] or entry["type"] not in LAYERS
    Draft202012Validator.check_schema(entry["schema"])
    Draft202012Validator(entry["schema"]).validate(entry["example"])
    Draft202012Validator(json_schema()).validate(entry["example"])
    architecture = parse(entry["spec"]["architecture"])
    if not isinstance(architecture, FOREIGN):  # Those need libraries, and have tests of their own.
        build(architecture)


def test_the_catalogue_lists_every_type_once() -> None:
    types = [entry["type"] for entry in catalogue()]
    assert len(types) == len(set(types))
    assert set(types) == set(json_schema()["discriminator"]["mapping"])


def test_recurrent_layers_take_the_arguments_that_their_base_documents() -> None:
    assert "proj_size" in arguments_of(nn.LSTM)
    assert "proj_size" not in arguments_of(nn.GRU)
    assert "nonlinearity" in arguments_of(nn.RNN)


def test_sizes_are_numbers_or_lists_of_their_length() -> None:
    conv = {"type": "Conv2d", "in_channels": 2, "out_channels": 4, "kernel_size": [3, 5]}
    assert build(parse(conv)).module.weight.shape == (4, 2, 3, 5)
    assert paths({**conv, "kernel_size": [3]}) == ["architecture.kernel_size"]
    assert paths({**conv, "kernel_size": [3, "x"]}) == ["architecture.kernel_size.1"]
    assert build(parse({**conv, "padding": "same"})).module.padding == "same"
    assert paths({**conv, "padding": "sane"}) == ["architecture.padding"]
    assert paths({**conv, "padding_mode": "sane"}) == ["architecture.padding_mode"]


@pytest.mark.parametrize(
    "document",
    [
        {"type": "Conv2d", "in_channels": 3, "out_channels": 4, "kernel_size": 3, "groups": 2},
        {"type": "MultiheadAttention", "embed_dim": 10, "num_heads": 3},
        {"type": "LSTM", "input_size": 3, "hidden_size": 4, "proj_size": 4},
        {"type": "Embedding", "num_embeddings": 3, "embedding_dim": 4, "padding_idx": 3},
        {"type": "GroupNorm", "num_groups": 3, "num_channels": 4},
        {"type": "Dropout", "p": 1.5},
        {"type": "AdaptiveLogSoftmaxWithLoss", "in_features": 4, "n_classes": 9, "cutoffs": [7, 2]},
        {"type": "ConvTranspose1d", "padding_mode": "circular"}
        | {"in_channels": 2, "out_channels": 2, "kernel_size": 3},
    ],
    ids=lambda document: document["type"],
)
def test_what_only_a_constructor_finds_is_a_fault_in_torch_s_words(document: Document) -> None:
    with pytest.raises(SpecError) as caught:
        build(parse({"type": "Sequential", "layers": [{"type": "ReLU"}, document]}))
    (fault,) = caught.value.faults
    assert fault.path == "architecture.layers.1"
    with pytest.raises((ValueError, AssertionError)) as real:
        constructed(document)
    assert fault.message == f"torch: {str(real.value).splitlines()[0]}"


def test_an_activation_by_name_is_the_function_of_that_name() -> None:
    document = EXAMPLES["TransformerEncoderLayer"]
    assert build(parse(document)).module.activation is nn.functional.relu
    gelu = build(parse({**document, "activation": "gelu"})).module
    assert gelu.activation is nn.functional.gelu


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"type": "Linear", "in_features": 2**30, "out_features": 2**30}, "2^53 - 1 elements"),
        ({"type": "Linear", "in_features": 2**53 - 1, "out_features": 2**53 - 1}, "overflow"),
        ({"type": "MultiheadAttention", "embed_dim": 2**27, "num_heads": 1}, "2^53 - 1 elements"),
        ({"type": "Embedding", "num_embeddings": 2**52, "embedding_dim": 4}, "2^53 - 1 elements"),
        (
            {"type": "Conv3d", "in_channels": 1, "out_channels": 1, "kernel_size": 2**18},
            "2^53 - 1 elements",
        ),
        ({"type": "LayerNorm", "normalized_shape": [2**30, 2**30]}, "2^53 - 1 elements"),
        (
            {"type": "AdaptiveLogSoftmaxWithLoss", "in_features": 10, "n_classes": 100}
            | {"cutoffs": [50], "div_value": 1e-14},
            "2^53 - 1 elements",
        ),
        (
            {"type": "LazyLinear", "out_features": 2**40, "input_shape": [1, 2**20]},
            "2^53 - 1 elements",
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_a_tensor_too_large_for_any_file_is_a_fault_of_its_layer(
    document: Document, words: str
) -> None:
    with pytest.raises(SpecError) as caught:
        build(parse(document))
    (fault,) = caught.value.faults
    assert fault.path == "architecture"
    assert words in fault.message


def test_integers_that_json_cannot_hold_exactly_are_faults() -> None:
    document = {"type": "Linear", "in_features": 2**53, "out_features": 0}
    assert paths(document) == ["architecture.in_features"]
    assert paths({"type": "Softmax", "dim": -(2**53)}) == ["architecture.dim"]
    assert paths({"type": "Softmax", "dim": 10**400}) == ["architecture.dim"]


def test_floats_take_integers_and_no_infinities() -> None:
    assert build(parse({"type": "LeakyReLU", "negative_slope": 1})).module.negative_slope == 1.0
    for wrong in (float("inf"), float("nan"), True, "0.1", 10**400):
        assert paths({"type": "LeakyReLU", "negative_slope": wrong}) == [
            "architecture.negative_slope"
        ]
