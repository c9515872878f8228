"""Recordings of spectral normalization: replayed bit for bit, and compiled to one source."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from seedpoint.models.draws import Normal, Uniform
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import SingularVector
from seedpoint.models.plan.program_json import program_from_json, to_json
from seedpoint.models.stream.cost import MAX_POWER_PRODUCTS
from seedpoint.models.tape import record
from seedpoint.models.verify.soundness import check_program

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


@pytest.mark.parametrize(
    ("layer", "dim", "shape"),
    [
        (lambda: nn.ConvTranspose2d(3, 5, 2), None, (5, 3, 2, 2)),
        (lambda: nn.ConvTranspose1d(3, 5, 2), 1, (5, 3, 2)),
        (lambda: nn.Conv2d(3, 5, 2), 2, (2, 5, 3, 2)),
        (lambda: nn.Linear(6, 4), 1, (6, 4)),
    ],
)
def test_the_vectors_of_a_reordered_matrix_are_those_of_the_power_method(
    layer: type[nn.Module], dim: int | None, shape: tuple[int, ...]
) -> None:
    def make() -> nn.Module:
        return parametrizations.spectral_norm(layer(), dim=dim)

    tensors = {tensor.name: tensor for tensor in record(make).tensors}
    dtype = BY_NAME["float32"]
    planned = [
        PlanTensor(t.name, t.shape, dtype, "parameter", "Module", t.program)
        for name in (U, V, "parametrizations.weight.original")
        if (t := tensors[name]).program is not None
    ]
    evaluator = Evaluator(Plan(3, "philox-v1", {}, tuple(planned)))
    values = []
    for number, tensor in enumerate(planned):
        out = np.empty(tensor.nbytes, np.uint8)
        evaluator.fill(number, 0, tensor.numel, out)
        check_program(tensor.program, tensor.shape, dtype)
        assert program_from_json(to_json(tensor.program)) == tensor.program
        values.append(torch.from_numpy(out.view(np.float32).reshape(tensor.shape)).double())
    left, right, weight = values
    assert isinstance(planned[0].program.source, SingularVector)
    assert planned[0].program.source.shape == shape
    matrix = weight.movedim(1 if dim is None else dim, 0).flatten(1)
    again = nn.functional.normalize(matrix.T @ left, dim=0)
    assert torch.allclose(right, again, atol=1e-6)
    state = {U: left, V: right, "parametrizations.weight.original": weight}
    module = make()
    module.load_state_dict({**module.state_dict(), **state})
    product: torch.Tensor = module.eval().get_submodule("parametrizations.weight.0")._u @ (
        matrix.float() @ module.get_submodule("parametrizations.weight.0")._v
    )
    assert 0.9 < product / torch.linalg.matrix_norm(matrix, 2) <= 1.001


def test_a_matrix_that_would_take_too_long_has_no_program() -> None:
    size = int((MAX_POWER_PRODUCTS / 16) ** 0.5) + 1
    tape = record(lambda: parametrizations.spectral_norm(nn.Linear(size, size)))
    reasons = {tensor.name: tensor.reason for tensor in tape.tensors if tensor.program is None}
    assert set(reasons) == {U, V}
    assert "too many" in str(reasons[U])
