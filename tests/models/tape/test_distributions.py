"""Distributions and their arguments, as they are recorded."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from torch import Tensor, nn
from torch.nn.init import dirac_, eye_, orthogonal_, sparse_, trunc_normal_

from seedpoint.models.draws import Normal, TruncNormal, Uniform
from seedpoint.models.plan.program import (
    Constant,
    Dirac,
    Eye,
    Literal,
    Orthogonal,
    Part,
    Program,
    Sparse,
    Split,
    ZeroRows,
)
from seedpoint.models.tape import record
from tests.support.tapes import (
    assert_replays,
    initialized,
    only,
    programs,
)

# torch's advice on layers that are meant as they are (sizes of zero, nested tensors).
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_a_linear_layer_draws_what_kaiming_uniform_and_its_bias_rule_draw() -> None:
    bound = math.sqrt(3.0) * (math.sqrt(2.0 / (1 + math.sqrt(5) ** 2)) / math.sqrt(20))
    assert programs(lambda: nn.Linear(20, 30)) == {
        "weight": Program(Uniform.of(-bound, bound)),
        "bias": Program(Uniform.of(-1 / math.sqrt(20), 1 / math.sqrt(20))),
    }


def test_every_tensor_of_a_recurrent_layer_is_uniform_by_its_hidden_size() -> None:
    found = programs(lambda: nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2))
    assert len(found) == 20
    assert set(found.values()) == {Program(Uniform.of(-0.5, 0.5))}


def test_the_padding_row_of_an_embedding_is_zeroed() -> None:
    normal = Normal.of(0.0, 1.0)
    assert programs(lambda: nn.Embedding(7, 3)) == {"weight": Program(normal)}
    padded = programs(lambda: nn.Embedding(7, 3, padding_idx=-1))
    assert padded == {"weight": Program(normal, (ZeroRows((6,)),))}


def test_a_counter_is_an_exact_integer_and_a_fill_is_exact_in_its_dtype() -> None:
    found = programs(lambda: nn.BatchNorm1d(3))
    assert found["num_batches_tracked"] == Program(Constant(0))
    assert isinstance(found["num_batches_tracked"].source.value, int)
    assert programs(lambda: nn.PReLU(2, init=0.1)) == {
        "weight": Program(Constant(float(np.float32(0.1))))
    }


def test_units_of_torch_nn_init_are_recognised_under_any_import() -> None:
    assert only(initialized(6, 4, init=eye_)).program == Program(Eye())
    assert only(initialized(6, 4, 3, init=lambda w: dirac_(w, 2))).program == Program(Dirac(2))
    assert only(initialized(6, 4, init=lambda w: orthogonal_(w, 0.5))).program == Program(
        Orthogonal(0.5)
    )
    assert only(initialized(6, 4, init=lambda w: sparse_(w, 0.3, std=0.1))).program == Program(
        Sparse.of(0.3, 0.1)
    )
    truncated = only(initialized(6, 4, init=lambda w: trunc_normal_(w, std=0.5, b=1.0)))
    assert truncated.program == Program(TruncNormal.of(0.0, 0.5, -2.0, 1.0))


@pytest.mark.parametrize(
    "init",
    [orthogonal_, eye_, trunc_normal_, lambda w: sparse_(w, 0.5), lambda w: orthogonal_(w.t())],
)
def test_units_of_torch_nn_init_replay(init: Callable[[Tensor], object]) -> None:
    build = initialized(6, 4, init=init)
    assert_replays(record(build), build)


def test_a_unit_that_took_a_tensor_as_another_matrix_is_not_that_unit() -> None:
    eye = only(initialized(6, 4, init=lambda w: eye_(w.view(2, 12))))
    assert isinstance(eye.program.source, Literal)
    assert only(initialized(6, 4, init=lambda w: orthogonal_(w.view(2, 12)))).program is None
    assert only(initialized(6, 4, init=lambda w: orthogonal_(w.t()))).program is None


def test_sparse_takes_two_draws() -> None:
    def init(w: Tensor) -> None:
        sparse_(w[:3], 0.5)
        orthogonal_(w[3:])

    assert only(initialized(6, 4, init=init)).program == Program(
        Split(
            0,
            (
                Part(3, Program(Sparse.of(0.5, 0.01, draw=0, stream="w"))),
                Part(3, Program(Orthogonal(1.0, draw=2, stream="w"))),
            ),
        )
    )


@pytest.mark.parametrize(
    ("init", "place"),
    [
        (Tensor.exponential_, "tapes.py:"),  # Where `initialized` calls it.
        (lambda w: w.copy_(w.normal_() @ w.t() @ w), "test_distributions.py:"),
    ],
)
def test_a_tensor_without_a_program_says_which_operation_and_line(
    init: Callable[[Tensor], object], place: str
) -> None:
    tensor = only(initialized(6, 4, init=init))
    assert tensor.program is None
    assert tensor.reason is not None
    assert "aten." in tensor.reason
    assert place in tensor.reason
