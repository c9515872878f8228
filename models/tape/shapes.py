"""Shapes of an operator's results, without values: from meta kernels, or from a rehearsal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from seedpoint.models.tape.journal import mapped
from seedpoint.models.tape.operator_traits import traits_of
from seedpoint.models.tape.replay import flat

META = torch.device("meta")
# largest input of a rehearsal, in elements
_REHEARSED_ELEMENTS = 1 << 22

Arguments = Sequence[Any]
Named = Mapping[str, Any]


def inferred(operator: OpOverload, args: Arguments, kwargs: Named) -> Any:
    """Return the result of `operator` on the meta device.

    Errors of the operator itself propagate.

    Raises:
        NotImplementedError: The operator has no meta kernel.
    """
    moved = {name: mapped(value, Tensor, as_meta) for name, value in kwargs.items()}
    placed = moved.get("device") is not None or not tensors_in(args, kwargs)
    if placed and traits_of(operator).has_device:
        moved["device"] = META
    return operator(*mapped(tuple(args), Tensor, as_meta), **moved)


def rehearsed(operator: OpOverload, args: Arguments, kwargs: Named) -> Any:
    """Return the result of `operator` for zeros if ones give the same shapes; else None.

    The result is also None when the inputs are too large to rehearse.
    """
    if sum(t.numel() for t in tensors_in(args, kwargs)) > _REHEARSED_ELEMENTS:
        return None
    state = torch.default_generator.get_state()
    try:
        first = _called(operator, args, kwargs, torch.zeros_like)
        second = _called(operator, args, kwargs, torch.ones_like)
    finally:
        torch.default_generator.set_state(state)
    return first if list(map(_shape, flat(first))) == list(map(_shape, flat(second))) else None


def tensors_in(args: Arguments, kwargs: Named) -> list[Tensor]:
    """Return the tensors among the arguments, in order."""
    return [v for v in flat([*args, *kwargs.values()]) if isinstance(v, Tensor)]


def as_meta(tensor: Tensor) -> Tensor:
    """Return a tensor of the same shape, strides and dtype on the meta device."""
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device=META)


def _called(
    operator: OpOverload, args: Arguments, kwargs: Named, stand_in: Callable[[Tensor], Tensor]
) -> Any:
    given = {name: mapped(value, Tensor, stand_in) for name, value in kwargs.items()}
    return operator(*mapped(tuple(args), Tensor, stand_in), **given)


def _shape(value: Any) -> Any:
    return (value.size(), value.stride(), value.dtype) if isinstance(value, Tensor) else value
