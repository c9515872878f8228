"""The tensor that owns a draw, and the draw's number."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seedpoint.models.draws import Normal, Uniform
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import Constant, Norms, Part, Program, Split
from seedpoint.models.plan.program_json import program_from_json, to_json
from seedpoint.models.tape import record
from seedpoint.models.verify.soundness import check_program
from tests.support.tapes import (
    assert_replays,
    initialized,
    only,
    programs,
    real,
)

# torch's advice on layers that are meant as they are (sizes of zero, nested tensors).
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_deep_copied_layers_hold_the_draws_of_the_first() -> None:
    def build() -> nn.Module:
        return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 3)

    tape = record(build)
    found = {t.name: t.program for t in tape.tensors}
    values = real(build)
    for name in ("self_attn.in_proj_weight", "linear1.weight", "linear2.bias"):
        first = found[f"layers.0.{name}"].source
        assert first.stream is None
        for layer in (1, 2):
            copied = found[f"layers.{layer}.{name}"].source
            assert copied == type(first).of(
                first.low, first.high, draw=first.draw, stream=f"layers.0.{name}"
            )
            assert torch.equal(values[f"layers.{layer}.{name}"], values[f"layers.0.{name}"])


def test_a_transformer_draws_its_matrices_anew_but_not_its_biases() -> None:
    found = programs(lambda: nn.Transformer(8, 2, 2, 2, 16))
    assert found["encoder.layers.1.linear1.weight"].source.stream is None
    bias = found["encoder.layers.1.linear1.bias"].source
    assert bias.stream == "encoder.layers.0.linear1.bias"


def test_a_draw_that_is_overwritten_has_no_number() -> None:
    def init(w: Tensor) -> None:
        nn.init.kaiming_uniform_(w)
        w.zero_()
        nn.init.normal_(w, std=0.5)

    assert only(initialized(4, 4, init=init)).program == Program(Normal.of(0.0, 0.5, draw=0))


def test_parts_drawn_apart_are_a_split_whose_draws_are_numbered_in_order() -> None:
    def init(w: Tensor) -> None:
        nn.init.uniform_(w)
        w[3:].uniform_(-2, 2)
        w[:2].normal_()
        w[2].fill_(1.5)

    assert only(initialized(6, 4, init=init)).program == Program(
        Split(
            0,
            (
                Part(2, Program(Normal.of(0.0, 1.0, draw=1, stream="w"))),
                Part(1, Program(Constant(1.5))),
                Part(3, Program(Uniform.of(-2.0, 2.0, draw=0, stream="w"))),
            ),
        )
    )


def test_a_deep_copied_buffer_keeps_its_values() -> None:
    def build() -> nn.Module:
        layer = nn.Sequential(nn.BatchNorm1d(3, momentum=None), nn.Linear(3, 3))
        layer[0].running_mean.fill_(0.25)
        return nn.ModuleList([layer, copy.deepcopy(layer)])

    tape = record(build)
    assert_replays(tape, build)
    found = {t.name: t.program for t in tape.tensors}
    assert found["1.0.running_mean"] == Program(Constant(0.25))
    assert found["1.1.weight"].source.stream == "0.1.weight"


def test_weight_norm_shares_the_draw_of_its_first_tensor() -> None:
    def build() -> nn.Module:
        return nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))

    tape = record(build)
    assert_replays(tape, build)
    norm, direction = tape.tensors[1:]
    assert norm.name.endswith("original0")
    assert direction.program.source.stream == norm.name
    assert norm.program == Program(Norms(direction.program, (3, 4), 0))


@pytest.mark.parametrize(
    ("shape", "dim"),
    [
        *(((6, 4, 3), dim) for dim in (0, 1, 2)),
        *(((5, 7), dim) for dim in (1, -1)),
        ((4, 1, 3, 2), 2),
    ],
)
def test_the_norms_of_weight_norm_are_those_of_its_direction(
    shape: tuple[int, ...], dim: int
) -> None:
    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(shape) * 2)
            nn.utils.parametrizations.weight_norm(self, dim=dim)

    norm, direction = record(Module).tensors
    dtype = BY_NAME["float32"]
    planned = tuple(
        PlanTensor(tensor.name, tensor.shape, dtype, "parameter", "Module", tensor.program)
        for tensor in (norm, direction)
    )
    evaluator = Evaluator(Plan(3, "philox-v1", {}, planned))
    raw = [np.empty(tensor.nbytes, np.uint8) for tensor in planned]
    for number, out in enumerate(raw):
        evaluator.fill(number, 0, planned[number].numel, out)
        check_program(planned[number].program, planned[number].shape, dtype)
    norms, values = (
        out.view(np.float32).reshape(tensor.shape) for out, tensor in zip(raw, planned, strict=True)
    )
    # For torch, dim -1 is the norm of all elements.
    axes = tuple(axis for axis in range(len(shape)) if axis != dim)
    squares = (values.astype(np.float64) ** 2).sum(axes, keepdims=dim != -1)
    np.testing.assert_allclose(norms, np.sqrt(squares), rtol=1e-7)
    stop = min(3, norms.size)
    part = np.empty(4 * (stop - 1), np.uint8)
    evaluator.fill(0, 1, stop, part)
    assert part.tobytes() == raw[0][4 : 4 * stop].tobytes()
    assert program_from_json(to_json(norm.program)) == norm.program


@pytest.mark.parametrize(
    "wrap",
    [
        nn.utils.parametrizations.orthogonal,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.parametrizations.weight_norm,
    ],
)
def test_parametrizations_replay(wrap: Callable[[nn.Module], nn.Module]) -> None:
    def build() -> nn.Module:
        return wrap(nn.Linear(4, 6))

    assert_replays(record(build), build)
