"""Constructions: recorded, replayed and real."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seedpoint.models.draws import Normal, Uniform
from seedpoint.models.plan.program import Constant, Literal, Program
from seedpoint.models.tape import Tape, TapeTensor, record
from tests.support.torch_cases import Build, cases

CASES = list(cases())
SEED = 20260


class Made(nn.Module):
    """Module that `make` fills."""

    def __init__(self, make: Callable[[nn.Module], object]) -> None:
        super().__init__()
        with torch.no_grad():
            make(self)


def made(make: Callable[[Any], object]) -> Build:
    return lambda: Made(make)


def initialized(*shape: int, init: Callable[[Tensor], object]) -> Build:
    """Return the construction of a module whose parameter `w` is initialized by `init`."""

    def make(module: Any) -> None:
        module.w = nn.Parameter(torch.empty(shape))
        init(module.w)

    return made(make)


def programs(build: Build) -> dict[str, Program | None]:
    return {tensor.name: tensor.program for tensor in record(build).tensors}


def only(build: Build) -> TapeTensor:
    (tensor,) = record(build).tensors
    return tensor


def real(build: Build, seed: int = SEED) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return dict(build().state_dict())


def assert_replays(tape: Tape, build: Build) -> None:
    replayed, constructed = tape.replay(SEED), real(build)
    assert list(replayed) == [name for t in tape.tensors for name in (t.name, *t.aliases)]
    assert replayed.keys() == constructed.keys()
    for name, value in constructed.items():
        assert replayed[name].dtype == value.dtype
        assert replayed[name].shape == value.shape
        assert torch.equal(replayed[name].contiguous(), value), name


def assert_programs_hold(tape: Tape, build: Build) -> None:
    """Check every program against the real values, as far as they determine it."""
    values = real(build)
    for tensor in tape.tensors:
        assert tensor.program is not None, tensor.reason
        value, source = values[tensor.name], tensor.program.source
        match source:
            case Constant():
                assert torch.equal(value, torch.full_like(value, source.value))
            case Literal():
                data = tape.literals[source.sha256]
                assert data == value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            case Uniform() if not tensor.program.transforms:
                slack = 1e-2 if value.dtype.itemsize < 4 else 1e-6
                assert bool((value.double() >= source.low - slack).all())
                assert bool((value.double() <= source.high + slack).all())
            case Normal():
                assert bool(((value - source.mean).abs() <= 6 * source.std).all())
        if isinstance(source, Uniform | Normal) and source.stream is not None:
            assert torch.equal(value, values[source.stream])
