"""The parts of split tensors: what is cut out of any stretch is what NumPy's slices give."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.draws import Normal
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.program import Constant, Part, Program, Scale, Split, ZeroRows
from seedpoint.models.statistics.split_windows import MOST_PARTS, windows
from tests.support.seen import seen

A, B = Program(Normal.of(0.0, 1.0)), Program(Constant(3.0))
NESTED = Program(Split(1, (Part(2, A), Part(3, B))), (Scale(2.0),))
SHAPE = (6, 5, 4)
PROGRAM = Program(Split(0, (Part(1, A), Part(4, NESTED), Part(1, B))))
SLICES = [np.s_[0:1], np.s_[1:5, 0:2], np.s_[1:5, 2:5], np.s_[5:6]]


@given(st.lists(st.integers(0, 120), max_size=6))
def test_parts_cut_from_any_stretches_are_the_slices(cuts):
    values = np.arange(120, dtype=np.float32)
    edges = sorted({0, 120, *cuts})
    found = windows(PROGRAM, SHAPE)
    assert len(found) == len(SLICES)
    for window, index in zip(found, SLICES, strict=True):
        pieces = [window.cut(values[a:b], a) for a, b in itertools.pairwise(edges)]
        expected = values.reshape(SHAPE)[index]
        assert np.array_equal(np.concatenate(pieces), expected.reshape(-1))
        assert window.shape == expected.shape
        counts = [window.before(b) - window.before(a) for a, b in itertools.pairwise(edges)]
        assert counts == [len(piece) for piece in pieces]


def test_outer_transforms_are_done_to_every_part():
    assert [w.program.transforms for w in windows(PROGRAM, SHAPE)] == [
        (), (Scale(2.0),), (Scale(2.0),), (),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "program",
    [
        A,
        Program(PROGRAM.source, (ZeroRows((0,)),)),
        Program(Split(0, (Part(1, A),) * (MOST_PARTS + 1))),
    ],
)
def test_what_is_not_to_be_judged_by_parts_has_none(program):
    assert windows(program, (MOST_PARTS + 1, 5)) == ()


@pytest.mark.parametrize("axis", [0, 1])
def test_parts_are_judged_each_by_itself_across_blocks(axis):
    """Both exchanged have the mean and the std of the whole."""
    parts = (Part(300, Program(Normal.of(0.0, 1.0))), Part(300, Program(Normal.of(0.0, 2.0))))
    generator = torch.Generator().manual_seed(0)
    values = [std * torch.randn(300, 600, generator=generator) for std in (1.0, 2.0)]
    values = values if axis == 0 else [half.T for half in values]
    shape = (600, 600)
    tensor = PlanTensor(
        "w", shape, BY_NAME["float32"], "parameter", "", Program(Split(axis, parts))
    )
    found = seen(tensor, torch.cat(values, axis))
    assert found["pass"] is True
    assert [part["pass"] for part in found["parts"]] == [True, True]
    for part, half in zip(found["parts"], values, strict=True):
        assert part["numel"] == 180_000
        assert part["std"] == pytest.approx(half.double().std(correction=0).item(), rel=1e-12)
        assert part["place"][0]["axis"] == axis
    wrong = seen(tensor, torch.cat(values[::-1], axis))
    assert wrong["pass"] is False
    assert [part["pass"] for part in wrong["parts"]] == [False, False]
