"""Choice of each tensor's dtype: the spec's default and its rules, or the declared dtype."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.plan.warning import PlanWarning
from seedpoint.models.planning.record_architecture import Declared
from seedpoint.models.planning.rule_list import RuleList
from seedpoint.models.rules.rule import Candidate
from seedpoint.models.spec.schema import DTypePolicy


class TensorDtypes:
    """Dtypes of tensors under a policy. Only floating tensors get another than the declared one."""

    def __init__(self, policy: DTypePolicy) -> None:
        self._policy = policy
        matches = [rule.match for rule in policy.rules]
        optional = {index for index, rule in enumerate(policy.rules) if rule.optional}
        self.rules = RuleList("dtype.rules", matches, optional=optional, sweeps=True)
        self._won_floating: set[int] = set()

    def of(self, declared: Declared, candidates: Sequence[Candidate]) -> DType:
        """Return the dtype of a tensor whose names are `candidates`."""
        won = self.rules.first(candidates)
        self.rules.count([won])
        if not declared.dtype.is_floating:
            return declared.dtype
        if won is not None:
            self._won_floating.add(won.index)
        elif declared.keeps_dtype:
            return declared.dtype
        name = self._policy.default if won is None else self._policy.rules[won.index].dtype
        return declared.dtype if name == "declared" else BY_NAME[name]

    def warnings(self) -> Iterator[PlanWarning]:
        """Yield a warning for each rule that wins tensors, but no floating one."""
        for index in sorted(self.rules.won - self._won_floating):
            path = f"dtype.rules.{index}"
            message = f"{path} has no effect: it wins no floating tensor"
            yield PlanWarning("SP102", path, message)
