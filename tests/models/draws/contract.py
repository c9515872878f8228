"""Contract of draws: one law, whether the stream, PyTorch or NumPy draws it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy import stats

from seedpoint.models.draws import DRAWS, Draw
from seedpoint.models.plan.program import Program
from seedpoint.models.plan.program_json import program_from_json, to_json
from seedpoint.models.statistics.distribution import Law
from seedpoint.models.stream import cpu, reference

SIZE = 1 << 16
KEY = (2024, 7)


class DrawContract:
    """A subclass names a draw, its law in scipy, and arguments that are refused, by the reason."""

    kind: ClassVar[type[Draw]]
    arguments: ClassVar[tuple[float, ...]]
    law: ClassVar[Any]
    refused: ClassVar[tuple[tuple[str, tuple[float, ...]], ...]]

    @property
    def draw(self) -> Draw:
        return self.kind.of(*self.arguments)

    def test_it_is_registered_under_its_name(self) -> None:
        assert DRAWS[self.draw.type] is self.kind

    def test_a_plan_keeps_it(self) -> None:
        program = Program(self.kind.of(*self.arguments, draw=3, stream="other"))
        assert program.draws
        assert program_from_json(to_json(program)) == program

    def test_it_has_as_many_constants_as_its_kernel_takes(self) -> None:
        assert len(self.draw.f32) == self.draw.constants
        assert all(constant == float(np.float32(constant)) for constant in self.draw.f32)

    def test_arguments_without_a_law_are_refused_with_the_reason(self) -> None:
        for reason, arguments in self.refused:
            with pytest.raises(ValueError, match=reason):
                self.kind.of(*arguments)

    def test_the_stream_follows_its_law(self) -> None:
        assert stats.kstest(self.streamed(), self.law.cdf).pvalue > 1e-3

    def test_pytorch_follows_the_same_law(self) -> None:
        value = torch.empty(SIZE)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.draw.fill(value)
        assert stats.kstest(value.double().numpy(), self.law.cdf).pvalue > 1e-3

    def test_numpy_follows_the_same_law(self) -> None:
        if not self.draw.in_numpy:
            return
        values = self.draw.sample(np.random.RandomState(1), (SIZE,))
        assert stats.kstest(values, self.law.cdf).pvalue > 1e-3

    def test_the_law_that_statistics_use_is_that_law(self) -> None:
        law = Law.of(self.draw)
        mean, variance, fourth = law.points().moments()
        expected = (float(moment) for moment in self.law.stats(moments="mvk"))
        assert (mean, variance, fourth / variance**2 - 3) == pytest.approx(tuple(expected))
        for quantile in (1e-6, 0.01, 0.3, 0.9, 0.999):
            value = self.law.ppf(quantile)
            assert law.beyond(value, upper=False) / law.mass == pytest.approx(quantile, rel=1e-6)

    def test_no_value_is_past_its_reach(self) -> None:
        assert np.abs(self.streamed()).max() <= self.draw.reach * (1 + 2.0**-23)

    def test_the_kernel_and_the_reference_have_it(self) -> None:
        expected = reference.DRAWS[self.draw.type](KEY, 0, 0, 4097, self.draw.f32)
        assert (self.streamed()[:4097] == expected.double().numpy()).all()

    def streamed(self) -> np.ndarray:
        out = np.empty(SIZE, np.float32)
        cpu.fill(self.draw.type, out, KEY, 0, 0, self.draw.f32)
        return out.astype(np.float64)
