"""The replay of a recording gives a real construction, bit for bit; and its bounds."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys
import textwrap
import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.init import orthogonal_

from seedpoint.models.tape import record
from tests.support.tapes import (
    CASES,
    assert_programs_hold,
    assert_replays,
)
from tests.support.torch_cases import WITHOUT_PARAMETERS, Build

# torch's advice on layers that are meant as they are (sizes of zero, nested tensors).
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

# --- the replay oracle -------------------------------------------------------------------


@pytest.mark.parametrize("build", [pytest.param(b, id=shown) for _, shown, b in CASES])
def test_a_recorded_class_of_torch_nn_replays_to_the_bits_of_a_real_one(build: Build) -> None:
    tape = record(build)
    assert_replays(tape, build)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_every_class_of_torch_nn_with_parameters_has_a_case() -> None:
    tested = {name for name, _, _ in CASES}
    for name, cls in vars(nn).items():
        if not inspect.isclass(cls) or not issubclass(cls, nn.Module) or name in tested:
            continue
        module = cls(**WITHOUT_PARAMETERS.get(name, {}))
        assert not module.state_dict(), f"{name} has parameters and no case"


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CASES} - {"RNNCellBase"}))
def test_the_programs_of_a_class_hold_for_its_real_values(name: str) -> None:
    for case, _, build in CASES:
        if case == name:
            assert_programs_hold(record(build), build)


def test_recording_leaves_torch_as_it_was() -> None:
    before = torch.Tensor.numpy, torch.tensor, torch.manual_seed, orthogonal_.__code__
    torch.manual_seed(3)
    record(lambda: nn.Transformer(8, 2, 1, 1, 16))
    state = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(3), state)
    assert (torch.Tensor.numpy, torch.tensor, torch.manual_seed, orthogonal_.__code__) == before
    assert torch.get_default_dtype() == torch.float32


# --- forward passes, lazy layers, size ---------------------------------------------------


def test_a_lazy_layer_is_initialized_by_a_meta_input_under_the_recorder() -> None:
    def recorded() -> nn.Module:
        layer: Any = nn.LazyConv2d(4, 3)
        layer._infer_parameters(layer, (torch.empty(2, 5, 8, 8, device="meta"),))
        return layer

    def scripted() -> nn.Module:
        layer = nn.LazyConv2d(4, 3)
        layer.eval()(torch.zeros(2, 5, 8, 8))
        return layer

    assert_replays(record(recorded), scripted)


def test_a_forward_pass_of_phantoms_computes_nothing_and_draws_what_a_real_one_draws() -> None:
    def build() -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layers = [nn.LazyConv2d(4, 3), nn.Dropout(), nn.Flatten(), nn.LazyLinear(5)]
            module = nn.Sequential(*layers)
            module(torch.zeros(2, 3, 8, 8))
        return module

    assert_replays(record(build), build)


def test_a_405b_model_is_recorded_in_the_memory_of_a_small_one() -> None:
    script = """
        import resource
        import torch
        from torch import nn
        from seedpoint.models.tape import record

        def layer(d, hidden):
            return nn.Sequential(
                nn.RMSNorm(d), nn.Linear(d, d, bias=False), nn.Linear(d, 2048, bias=False),
                nn.Linear(d, d, bias=False), nn.Linear(d, hidden, bias=False),
                nn.Linear(d, hidden, bias=False), nn.Linear(hidden, d, bias=False))

        def model(layers, d, hidden):
            blocks = [layer(d, hidden) for _ in range(layers)]
            return nn.Sequential(nn.Embedding(128256, d), *blocks, nn.Linear(d, 128256))

        record(lambda: model(2, 8, 16))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tape = record(lambda: model(126, 16384, 53248))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert sum(p.numel() for p in tape.module.parameters()) > 400e9
        assert all(tensor.program for tensor in tape.tensors)
        print(after - before)
    """
    run = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 * 1024  # KiB


def test_a_phantom_tensor_cannot_be_read_behind_the_recorders_back() -> None:
    script = """
        from torch import nn
        from seedpoint.models.tape import record

        record(lambda: nn.Linear(2, 2)).module.weight.sum()
    """
    run = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGSEGV


# --- names -------------------------------------------------------------------------------


def test_one_tensor_under_several_names_is_one_with_aliases() -> None:
    def build() -> nn.Module:
        first, second = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
        second.weight = first.weight
        return nn.Sequential(first, second, first)

    tape = record(build)
    assert_replays(tape, build)
    assert [(t.name, t.aliases) for t in tape.tensors] == [
        ("0.weight", ("1.weight", "2.weight")),
        ("0.bias", ("2.bias",)),
    ]


def test_the_state_dict_gives_order_shape_dtype_and_kind() -> None:
    found = record(lambda: nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))).tensors
    assert [(t.name, t.shape, t.dtype.name, t.kind) for t in found] == [
        ("0.weight", (3, 2), "float32", "parameter"),
        ("0.bias", (3,), "float32", "parameter"),
        ("1.weight", (3,), "float32", "parameter"),
        ("1.bias", (3,), "float32", "parameter"),
        ("1.running_mean", (3,), "float32", "buffer"),
        ("1.running_var", (3,), "float32", "buffer"),
        ("1.num_batches_tracked", (), "int64", "buffer"),
    ]
