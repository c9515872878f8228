"""Transforms, partial writes, and values that are computed, given or never written."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seedpoint.models.draws import Normal
from seedpoint.models.plan.program import (
    Add,
    Clamp,
    Constant,
    Divide,
    Exp,
    Expm1,
    FillRegion,
    Literal,
    Log,
    Plus,
    Program,
    Scale,
    Transform,
    ZeroRows,
)
from seedpoint.models.tape import record
from tests.support.tapes import (
    assert_programs_hold,
    assert_replays,
    initialized,
    made,
    only,
    programs,
    real,
)

# torch's advice on layers that are meant as they are (sizes of zero, nested tensors).
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

# --- transforms and partial writes -------------------------------------------------------


def transformed(*transforms: Transform) -> Program:
    return Program(Normal.of(0.0, 1.0), transforms)


@pytest.mark.parametrize(
    ("change", "program"),
    [
        (lambda w: w.mul_(0.1).add_(1), transformed(Scale(0.1), Add(1.0))),
        (lambda w: w.sub_(0.5).div_(4), transformed(Add(-0.5), Scale(0.25))),
        (lambda w: w.neg_().clamp_(-1, 2), transformed(Scale(-1.0), Clamp(-1.0, 2.0))),
        (lambda w: w.clamp_(min=0.5), transformed(Clamp(min=0.5))),
        (lambda w: w.copy_(torch.tensor(3.0) * w), transformed(Scale(3.0))),
        (lambda w: w[1].zero_(), transformed(ZeroRows((1,)))),
        (
            lambda w: w[:, 2:].fill_(1),
            transformed(FillRegion(((0, 4, 1), (2, 4, 1)), 1.0)),
        ),
        (
            lambda w: w.__setitem__((3, 2), 5),
            transformed(FillRegion(((3, 4, 1), (2, 3, 1)), 5.0)),
        ),
        (
            lambda w: w[::2].mul_(0),
            None,
        ),
        (lambda w: w.div_(3), transformed(Divide(3.0))),
        (lambda w: w.exp_(), transformed(Exp())),
        (lambda w: w.expm1_().exp_().log_(), transformed(Expm1(), Exp(), Log())),
        (lambda w: w.sub_(3, alpha=2), transformed(Add(-6.0))),
        (lambda w: w.copy_(1 - w), transformed(Scale(-1.0), Add(1.0))),
        (lambda w: w.add_(torch.exp(-w)), transformed(Plus((Scale(-1.0), Exp())))),
        (lambda w: w.copy_(torch.expm1(w) + w), transformed(Plus((Expm1(),)))),
        (lambda w: w.copy_(torch.expm1(w) + torch.exp(w)), None),
        (lambda w: w.div_(0), None),
        (lambda w: w.tanh_(), None),
        (lambda w: w.add_(torch.randn(4, 4)), None),
    ],
)
def test_what_is_done_to_a_draw_becomes_transforms_or_no_program(
    change: Callable[[Tensor], object], program: Program | None
) -> None:
    def init(w: Tensor) -> None:
        w.normal_()
        change(w)

    build = initialized(4, 4, init=init)
    tape = record(build)
    assert_replays(tape, build)
    assert tape.tensors[0].program == program
    assert (tape.tensors[0].reason is None) == (program is not None)


def test_a_draw_through_a_transposed_view_fills_the_tensor() -> None:
    build = initialized(6, 4, init=lambda w: nn.init.normal_(w.t(), std=0.5))
    assert_replays(record(build), build)
    assert only(build).program == Program(Normal.of(0.0, 0.5))


def test_a_tensor_that_rearranges_the_draw_of_another_has_no_program() -> None:
    def make(module: Any) -> None:
        drawn = torch.randn(4, 4)
        module.a, module.b = nn.Parameter(drawn), nn.Parameter(drawn.t().clone())

    build = made(make)
    tape = record(build)
    assert_replays(tape, build)
    assert tape.tensors[0].program == Program(Normal.of(0.0, 1.0))
    assert tape.tensors[1].program is None


def test_draws_are_cast_at_the_end_and_never_rounded_before_a_transform() -> None:
    tape = record(lambda: nn.Sequential(nn.Linear(3, 3).bfloat16(), nn.Linear(3, 3).half().float()))
    assert [t.program is not None for t in tape.tensors] == [True, True, False, False]
    assert [t.dtype.name for t in tape.tensors] == ["bfloat16", "bfloat16", "float32", "float32"]


# --- what is computed, given or never written --------------------------------------------


def test_a_computed_table_is_baked_as_a_literal() -> None:
    def make(module: Any) -> None:
        position = torch.arange(10).unsqueeze(1).float()
        scale = torch.exp(torch.arange(0, 8, 2) * (-math.log(10000.0) / 8))
        table = torch.empty(10, 8)
        table[:, 0::2] = torch.sin(position * scale)
        table[:, 1::2] = torch.cos(position * scale)
        module.register_buffer("table", table)
        module.register_buffer("hidden", torch.ones(3), persistent=False)

    build = made(make)
    tape = record(build)
    assert_replays(tape, build)
    (tensor,) = tape.tensors
    data = real(build)["table"].numpy().tobytes()
    assert tensor.kind == "buffer"
    assert tensor.program == Program(Literal(hashlib.sha256(data).hexdigest(), "float32"))
    assert tape.literals == {tensor.program.source.sha256: data}


def test_known_values_can_be_read_while_recording() -> None:
    def make(module: Any) -> None:
        rates = [rate.item() for rate in torch.linspace(0, 1, 5)]
        array = np.sin(torch.linspace(0, 1, 3).numpy())
        module.register_buffer("given", torch.from_numpy(array))
        module.register_buffer("nested", torch.tensor([torch.ones(()), torch.zeros(())]))
        module.register_buffer("chosen", torch.arange(10)[torch.arange(10) > 6])
        module.layers = nn.Sequential(*(nn.Linear(2, 2) for rate in rates if rate > 0.3))

    build = made(make)
    tape = record(build)
    assert_replays(tape, build)
    assert_programs_hold(tape, build)


def test_a_long_computation_is_run_where_no_expression_says_it() -> None:
    def make(module: Any) -> None:
        table = torch.zeros(3)
        for _ in range(1000):
            table = table + 1
        module.register_buffer("table", table)

    assert only(made(make)).program == Program(Constant(1000.0))


def test_a_parameter_never_written_has_no_program() -> None:
    tape = record(lambda: nn.utils.skip_init(nn.Linear, 3, 4))
    assert [(t.program, t.reason) for t in tape.tensors] == [(None, "never written")] * 2
    assert not any(tensor.is_defined for tensor in tape.tensors)
    partly = only(initialized(4, 4, init=lambda w: w[:2].zero_()))
    assert partly.program is None
    assert "never written" in str(partly.reason) and not partly.is_defined


def test_values_without_a_program_are_defined_where_running_the_code_gives_them() -> None:
    opaque = only(initialized(4, 4, init=lambda w: w.copy_(torch.randn(4, 4).sort()[0])))
    assert opaque.program is None and opaque.is_defined
    partly = only(initialized(4, 4, init=lambda w: w[:2].copy_(torch.randn(2, 4).sort()[0])))
    assert partly.program is None and not partly.is_defined


def test_empty_tensors_are_constant() -> None:
    assert programs(lambda: nn.Linear(0, 2))["weight"] == Program(Constant(0.0))
