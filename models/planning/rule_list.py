"""One list of rules over the tensors of a checkpoint, and the rules of it that no tensor needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import chain

from seedpoint.models.errors import Fault
from seedpoint.models.plan.warning import PlanWarning
from seedpoint.models.planning.record_architecture import Structure
from seedpoint.models.rules.matcher import Matcher
from seedpoint.models.rules.no_match import reason
from seedpoint.models.rules.rule import Candidate, Match, Won
from seedpoint.models.validation.faults import MAX_FAULTS


class RuleList:
    """Rules at `path` of the spec, of which the first that matches a tensor wins it.

    A rule that matches no tensor is a fault unless its index is `optional`. With `sweeps`, rules
    match buffers with an own init like any other tensor.
    """

    def __init__(
        self,
        path: str,
        matches: Sequence[Match],
        *,
        optional: Collection[int] = (),
        sweeps: bool = False,
    ) -> None:
        self.path = path
        self._matches = matches
        self._optional = frozenset(optional)
        self._sweeps = sweeps
        self._matcher = Matcher(matches, sweeps=sweeps)
        self.won: set[int] = set()  # Indices of the rules that have won a tensor.

    def first(self, candidates: Sequence[Candidate]) -> Won | None:
        """Return the rule that wins a tensor of these names, if there is one."""
        return self._matcher.first(candidates)

    def count(self, winners: Iterable[Won | None]) -> None:
        """Take note of rules that have won a tensor."""
        self.won.update(won.index for won in winners if won is not None)

    def idle(self, structure: Structure) -> tuple[list[Fault], list[PlanWarning]]:
        """Return faults of rules that match no tensor, and warnings of others that win none."""
        unused = [index for index in range(len(self._matches)) if index not in self.won]
        matched = self._matched([self._matches[index] for index in unused], structure)
        absent = [
            index
            for number, index in enumerate(unused)
            if number not in matched and index not in self._optional
        ]
        candidates = list(chain.from_iterable(structure.candidates)) if absent else []
        faults = []
        for index in absent[:MAX_FAULTS]:  # no more are reported
            why = reason(self._matches[index], candidates, structure.module_class)
            faults.append(Fault(f"{self.path}.{index}.match", f"matches no tensor: {why}"))
        return faults, [self._without_effect(unused[number]) for number in sorted(matched)]

    def _without_effect(self, index: int) -> PlanWarning:
        path = f"{self.path}.{index}"
        return PlanWarning("SP101", path, f"{path} has no effect: earlier rules win its tensors")

    def _matched(self, matches: Sequence[Match], structure: Structure) -> set[int]:
        """Return which of `matches` any tensor matches, whichever rule wins it."""
        if not matches:
            return set()
        matcher = Matcher(matches, sweeps=self._sweeps)
        return matcher.matching(chain.from_iterable(structure.candidates))
