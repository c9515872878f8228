"""Contract of every formula: one value for each place, however a tensor is cut."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.formulas import FORMULAS, Formula
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import Log, Program
from seedpoint.models.plan.program_json import program_from_json, to_json
from seedpoint.models.verify.soundness import check_program
from tests.support.seen import seen

Shape = tuple[int, ...]


class FormulaContract:
    """A subclass names a formula, a shape with the right values, and what is refused, and why."""

    formula: ClassVar[Formula]
    expected: ClassVar[torch.Tensor]
    tolerance: ClassVar[float] = 0.0
    refused: ClassVar[tuple[tuple[str, Formula, Shape, bool], ...]]
    """Reason, formula, shape, and whether the tensor is floating."""

    @property
    def shape(self) -> Shape:
        return tuple(self.expected.shape)

    def test_it_is_registered_under_its_name(self) -> None:
        assert FORMULAS[self.formula.type] is type(self.formula)

    def test_a_plan_keeps_it(self) -> None:
        program = Program(self.formula, (Log(),))
        assert not program.draws
        assert program_from_json(to_json(program)) == program
        check_program(program, self.shape, BY_NAME["float32"])

    def test_its_values_are_right(self) -> None:
        found = generated(self.formula, self.shape)
        wanted = self.expected.to(torch.float32)
        torch.testing.assert_close(found, wanted, rtol=self.tolerance, atol=self.tolerance)

    def test_any_range_is_a_part_of_the_whole(self) -> None:
        whole = self.formula.values(0, self.expected.numel(), self.shape)
        for start in range(0, self.expected.numel(), 7):
            stop = min(start + 5, self.expected.numel())
            assert torch.equal(self.formula.values(start, stop, self.shape), whole[start:stop])

    def test_wrong_arguments_and_shapes_are_refused_with_the_reason(self) -> None:
        for reason, formula, shape, floating in self.refused:
            with pytest.raises(ValueError, match=reason):
                formula.check(shape, floating=floating)
            dtype = BY_NAME["float32" if floating else "int64"]
            with pytest.raises(ValueError, match=reason):
                check_program(Program(formula), shape, dtype)

    def test_its_values_are_judged(self) -> None:
        tensor = planned(self.formula, self.shape)
        values = generated(self.formula, self.shape)
        assert seen(tensor, values)["pass"] is True
        values.view(-1)[-1] += 1.0
        assert seen(tensor, values)["pass"] is False


def planned(formula: Formula, shape: Shape, dtype: str = "float32") -> PlanTensor:
    return PlanTensor("w", shape, BY_NAME[dtype], "parameter", "", Program(formula))


def generated(formula: Formula, shape: Shape, dtype: str = "float32") -> Any:
    """The tensor that an evaluator makes."""
    tensor = planned(formula, shape, dtype)
    plan = Plan(seed=0, generator="philox-v1", spec={}, tensors=(tensor,))
    out = np.empty(tensor.nbytes, np.uint8)
    Evaluator(plan).fill(0, 0, tensor.numel, out)
    return torch.from_numpy(out).view(tensor.dtype.torch).view(shape)
