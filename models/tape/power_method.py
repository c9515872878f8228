"""Power method of torch's spectral normalization, recorded as one operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import parametrizations

from seedpoint.models.tape.errors import calling_line
from seedpoint.models.tape.journal import Operation
from seedpoint.models.tape.recorder import Recorder

NAME = "power_method"
_SPECTRAL_NORM: Any = parametrizations._SpectralNorm


@contextmanager
def recorded_power_method(recorder: Recorder) -> Iterator[None]:
    """Record each run of the power method as one operation while the context lasts."""
    original = _SPECTRAL_NORM._power_method

    def recorded(self: Any, matrix: Tensor, iterations: int) -> None:
        if matrix.is_meta:
            original(self, matrix, iterations)
            return
        weight, left, right = (recorder.ref(t) for t in (matrix, self._u, self._v))
        recorder.journal.add(
            Operation(
                number=len(recorder.journal.operations),
                name=NAME,
                function=_run,
                args=(weight, left, right, iterations, self.eps),
                kwargs={},
                reads=(weight, right),
                writes=(left, right),
                results=(),
                overwrites=True,
                random=False,
                line=calling_line(),
            )
        )

    with mock.patch.object(_SPECTRAL_NORM, "_power_method", recorded):
        yield


def _run(matrix: Tensor, left: Tensor, right: Tensor, iterations: int, eps: float) -> None:
    """Run the power method as torch does, in place."""
    for _ in range(iterations):
        functional.normalize(torch.mv(matrix, right), dim=0, eps=eps, out=left)
        functional.normalize(torch.mv(matrix.H, left), dim=0, eps=eps, out=right)
