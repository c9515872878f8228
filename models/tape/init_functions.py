"""Functions of `torch.nn.init` recorded as one operation: loops, QR, rejection sampling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

from torch import Tensor
from torch.nn import init

from seedpoint.models.tape.recorder import Recorder


def _unit(name: str, tensor: Tensor, *args: Any) -> Tensor:
    """Stand in for the recorder, which `recorded_units` binds to this name in `torch.nn.init`."""
    raise AssertionError(name)


def _trunc_normal(
    tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any = None
) -> Tensor:
    return _unit("_no_grad_trunc_normal_", tensor, mean, std, a, b, generator)


def _dirac(tensor: Tensor, groups: int = 1) -> Tensor:
    return _unit("dirac_", tensor, groups)


def _orthogonal(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    return _unit("orthogonal_", tensor, gain, generator)


def _sparse(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    return _unit("sparse_", tensor, sparsity, std, generator)


_RECORDED: dict[str, Callable[..., Tensor]] = {
    "_no_grad_trunc_normal_": _trunc_normal,
    "dirac_": _dirac,
    "orthogonal_": _orthogonal,
    "sparse_": _sparse,
}


@contextmanager
def recorded_units(recorder: Recorder) -> Iterator[None]:
    """Record each call of these functions as one operation while the context lasts.

    The context replaces the functions' code, not their names, because a caller that imported a
    function with `from torch.nn.init import orthogonal_` holds the function itself.
    """
    functions: dict[str, FunctionType] = {name: getattr(init, name) for name in _RECORDED}
    codes: dict[str, CodeType] = {name: f.__code__ for name, f in functions.items()}
    originals = {name: _copy(function) for name, function in functions.items()}

    def unit(name: str, tensor: Tensor, *args: Any) -> Tensor:
        if name != "dirac_" and args[-1] is not None:
            raise recorder.refuse(name, "it draws from a generator of its own")
        return recorder.record_unit(originals[name], tensor, args, random=name != "dirac_")

    init.__dict__["_unit"] = unit
    for name, function in functions.items():
        function.__code__ = _RECORDED[name].__code__
    try:
        yield
    finally:
        for name, function in functions.items():
            function.__code__ = codes[name]
        del init.__dict__["_unit"]


def _copy(function: FunctionType) -> FunctionType:
    return FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__
    )
