"""Refusals of the recorder: it names the operation and the line, and never guesses."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable
from random import random as imported_random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from seedpoint.models.tape import RecordingError, record


def refused(act: Callable[[Any], object]) -> str:
    """The message of the error with which recording a constructor that does `act` ends."""

    class Acting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)
            act(self)

    with pytest.raises(RecordingError) as caught:
        record(Acting)
    return str(caught.value)


def forked() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.rand(3)


@pytest.mark.parametrize(
    ("act", "named"),
    [
        (lambda _: random.random(), "random.random"),
        (lambda _: random.seed(3), "random.seed"),
        (lambda _: np.random.randn(3), "numpy.random.randn"),
        (lambda _: np.random.default_rng(), "numpy.random.default_rng"),
        (lambda _: torch.manual_seed(3), "torch.manual_seed"),
        (lambda _: forked(), "torch.set_rng_state"),
        (lambda _: torch.initial_seed(), "torch.initial_seed"),
        (lambda m: m.layer.weight.sum().item(), "item()"),
        (lambda m: bool(m.layer.weight[0, 0] > 0), "a branch"),
        (lambda m: m.layer.weight[m.layer.weight > 0], "aten.index.Tensor"),
        (lambda m: m.layer.weight.detach().numpy(), "Tensor.numpy"),
        (lambda m: m.layer.weight.tolist(), "Tensor.tolist"),
        (lambda m: torch.tensor([m.layer.bias[0], 1.0]), "torch.tensor"),
        (lambda m: torch.save(m.state_dict(), io.BytesIO()), "torch.save"),
        (lambda _: torch.empty(3)[0].item(), "never written"),
        (lambda _: torch.randn(3, generator=torch.Generator()), "generator of its own"),
        (
            lambda m: nn.init.orthogonal_(m.layer.weight, generator=torch.Generator()),
            "orthogonal_",
        ),
        (lambda _: threading.Thread(target=print).start(), "thread"),
        (lambda _: torch.empty(3).resize_(5), "aten.resize_"),
    ],
)
def test_what_cannot_be_recorded_is_refused_with_its_name_and_line(
    act: Callable[[Any], object], named: str
) -> None:
    message = refused(act)
    assert named in message
    assert "test_tape_errors.py:" in message


def test_a_generator_used_through_an_imported_name_is_found_out_at_the_end() -> None:
    assert "Python's random generator" in refused(lambda _: imported_random())


def test_memory_changed_through_numpy_is_found_out_at_the_end() -> None:
    def act(module: Any) -> None:
        array = np.zeros(3, dtype=np.float32)
        module.given = nn.Parameter(torch.from_numpy(array))
        array[:] = 5

    assert "changed a tensor's memory" in refused(act)


def test_an_error_that_is_swallowed_still_ends_the_recording() -> None:
    def act(module: Any) -> None:
        try:
            module.layer.weight.sum().item()
        except ValueError:
            pass

    assert "item()" in refused(act)


def test_an_operator_of_another_namespace_is_refused() -> None:
    library = torch.library.Library("seedpoint_test", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: 2 * x, "CPU")
    assert "seedpoint_test.twice" in refused(
        lambda _: torch.ops.seedpoint_test.twice(torch.ones(2))
    )


def test_a_lazy_module_that_saw_no_input_is_refused_by_name() -> None:
    with pytest.raises(RecordingError, match=r"'0\.weight' is lazy"):
        record(lambda: nn.Sequential(nn.LazyLinear(3)))


def test_a_meta_parameter_is_refused() -> None:
    with pytest.raises(RecordingError, match="meta"):
        record(lambda: nn.Linear(3, 3, device="meta"))


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: nn.MultiheadAttention(7, 2), AssertionError),
        (lambda: nn.init.normal_(torch.empty(3), std=-1.0), RuntimeError),
        (lambda: nn.init.uniform_(torch.empty(3), 1.0, 0.0), RuntimeError),
        (lambda: nn.init.orthogonal_(torch.empty(3)), ValueError),
        (lambda: torch.empty(3).copy_(torch.ones(4)), RuntimeError),
        (lambda: torch.empty(3, dtype=torch.int32).uniform_(), NotImplementedError),
    ],
)
def test_what_a_real_construction_raises_a_recorded_one_raises(
    build: Callable[[], Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as real:
        build()
    with pytest.raises(error) as recorded:
        record(build)
    assert type(recorded.value) is type(real.value)
    assert str(recorded.value) == str(real.value)


def test_generators_are_left_as_they_were_after_an_error() -> None:
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    with pytest.raises(RecordingError):
        record(lambda: nn.Sequential(nn.Linear(2, 2), nn.Linear(int(random.random()), 3)))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]
