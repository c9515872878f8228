"""Recordings of spectral normalization: replayed bit for bit, and compiled to one source."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from seedpoint.models.draws import Normal, Uniform
from seedpoint.models.plan.program import SingularVector
from seedpoint.models.stream.cost import MAX_POWER_PRODUCTS
from seedpoint.models.tape import record

U, V = "parametrizations.weight.0._u", "parametrizations.weight.0._v"


@pytest.mark.parametrize("layer", [lambda: nn.Linear(6, 4), lambda: nn.Conv2d(3, 4, 3)])
def test_a_replay_has_the_bits_of_the_script(layer: type[nn.Module]) -> None:
    torch.manual_seed(9)
    expected = parametrizations.spectral_norm(layer()).state_dict()
    found = record(lambda: parametrizations.spectral_norm(layer())).replay(9)
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_both_vectors_start_from_one_draw_and_iterate_as_torch_does() -> None:
    tape = record(lambda: parametrizations.spectral_norm(nn.Linear(6, 4), n_power_iterations=3))
    programs = {tensor.name: tensor.program for tensor in tape.tensors}
    left, right = programs[U], programs[V]
    assert left is not None
    assert right is not None
    assert isinstance(left.source, SingularVector)
    assert isinstance(right.source, SingularVector)
    assert (left.source.axis, right.source.axis) == (0, 1)
    assert left.source.iterations == right.source.iterations == 15 + 3
    assert isinstance(left.source.of.source, Uniform)
    assert isinstance(left.source.start.source, Normal)
    assert left.source.start == right.source.start
    assert left.source.start.source.stream == U


def test_a_matrix_that_would_take_too_long_has_no_program() -> None:
    size = int((MAX_POWER_PRODUCTS / 16) ** 0.5) + 1
    tape = record(lambda: parametrizations.spectral_norm(nn.Linear(size, size)))
    reasons = {tensor.name: tensor.reason for tensor in tape.tensors if tensor.program is None}
    assert set(reasons) == {U, V}
    assert "too many" in str(reasons[U])
