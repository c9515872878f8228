"""Lazy layers: shapes as PyTorch infers them, without its cost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from seedpoint.models.architectures import check, construct, normalized, parse
from tests.support.trees import (
    RELU,
    Document,
    assert_same,
    built,
    faults,
    linear,
    ref,
    repeat,
    sequential,
)


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
            "LazyLinear is only allowed in a chain of Sequential and Repeat layers",
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
