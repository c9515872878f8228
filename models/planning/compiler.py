"""Compilation of a spec into a plan: match rules, resolve initializers, choose dtypes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.initializers.fans import Surroundings, default_fans
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import (
    Materialized,
    Opaque,
    Program,
    Split,
)
from seedpoint.models.plan.warning import PlanWarning
from seedpoint.models.planning.declared_faults import check_declared
from seedpoint.models.planning.non_finite import non_finite
from seedpoint.models.planning.numpy_draws import check_numpy
from seedpoint.models.planning.planned_tensors import PlannedTensors
from seedpoint.models.planning.record_architecture import Declared, Structure, survey
from seedpoint.models.planning.script_order import scripted
from seedpoint.models.planning.stale_parametrizations import stale_parametrizations
from seedpoint.models.planning.warnings import found_in
from seedpoint.models.rules.dependencies import Dependencies
from seedpoint.models.rules.matcher import Matcher
from seedpoint.models.rules.no_match import reason
from seedpoint.models.rules.resolve import Resolved, Subject, check_single, resolve
from seedpoint.models.rules.rule import Candidate, Match, Rule, Won
from seedpoint.models.spec.constants import constant_values
from seedpoint.models.spec.limits import DEFAULT, Limits
from seedpoint.models.spec.schema import DTypeRule, Spec, normalized
from seedpoint.models.stream.cost import too_costly, whole_sources
from seedpoint.models.validation.faults import MAX_FAULTS
from seedpoint.models.validation.messages import listed

# largest checkpoint, in bytes; JSON numbers are exact up to it
MAX_BYTES = 2**53 - 1
OPAQUE = Program(Opaque())


@dataclass(frozen=True, slots=True)
class Planned:
    """Plan, with the bytes of its literals by SHA-256 and the resolved rule of each tensor.

    `resolved` has an entry for each tensor that a rule matched, by canonical name. When rules fill
    a tied tensor in turn (`Materialized.rules`), it has one for each name that a rule wins.
    """

    plan: Plan
    blobs: Mapping[str, bytes]
    resolved: Mapping[str, Resolved]

    def reseeded(self, spec: Spec, structure: Structure) -> Planned:
        """Return the result of `plan_structure` for a spec that differs only in its seed."""
        document = normalized(spec, architecture=structure.document)
        return replace(self, plan=self.plan.reseeded(spec.init.seed, document))


def make_plan(
    spec: Spec,
    *,
    platform: Mapping[str, object] | None = None,
    limits: Limits = DEFAULT,
) -> Planned:
    """Return the plan of `spec`.

    `platform` describes the dependencies of a sequential generator's bits
    (`sequential.platform()`); only plans of those generators contain it.

    Raises:
        SpecError: The spec has faults; the error names the path of each.
        ValueError: A sequential generator is given no platform.
    """
    structure = survey(spec.architecture, limits, dtype=spec.model_dtype)
    return plan_structure(spec, structure, platform=platform, limits=limits)


def plan_structure(
    spec: Spec,
    structure: Structure,
    *,
    platform: Mapping[str, object] | None = None,
    limits: Limits = DEFAULT,
) -> Planned:
    """Return the plan of `spec` over its recorded architecture.

    Raises the same errors as `make_plan`.
    """
    names = sum(map(len, structure.candidates))
    limits.check_rules("init.rules", spec.init.rules, names)
    limits.check_rules("dtype.rules", spec.dtype_policy.rules, names)
    compiler = _Compiler(spec, structure)
    if compiler.sequential and platform is None:
        raise ValueError(f"generator {spec.init.generator} needs to know the platform")
    tensors = tuple(compiler.tensors())
    compiler.check(tensors)
    plan = Plan(
        seed=spec.init.seed,
        generator=spec.init.generator,
        spec=normalized(spec, architecture=structure.document),
        tensors=tensors,
        root=structure.root,
        modules=structure.modules,
        files=structure.files,
        max_shard_size=spec.max_shard_size,
        ties=spec.ties,
        warnings=tuple(compiler.warnings),
        about=spec.about,
        platform=platform if compiler.sequential else None,
    )
    return Planned(plan, compiler.blobs, compiler.resolved)


class _Compiler:
    """Single pass over the tensors, which collects all faults and reports them together."""

    def __init__(self, spec: Spec, structure: Structure) -> None:
        self.spec = spec
        self.structure = structure
        self.sequential = spec.init.generator != "philox-v1"
        self.matches = [rule.match for rule in spec.init.rules]
        self.dtype_matches = [rule.match for rule in spec.dtype_policy.rules]
        self.constants = constant_values(spec.init.constants)
        self._matcher = Matcher(self.matches)
        self._dtype_matcher = Matcher(self.dtype_matches, sweeps=True)
        self.won: set[int] = set()
        self.dtype_won: set[int] = set()
        self.dtype_touched: set[int] = set()
        self.unmatched: list[str] = []
        self.faults: list[Fault] = []
        self._causes: dict[tuple[str, str], Fault] = {}
        self._alike: Counter[tuple[str, str]] = Counter()
        self.warnings: list[PlanWarning] = list(structure.warnings)
        self.resolved: dict[str, Resolved] = {}
        self.blobs: dict[str, bytes] = dict(structure.blobs)
        # Caches of results shared by tensors that differ only in name.
        self._resolutions: dict[tuple[Any, ...], Resolved] = {}
        self._dependencies = tuple(map(Dependencies.of, spec.init.rules))
        self._programs: dict[tuple[int, int], Program] = {}
        self._planned = PlannedTensors(structure, self._tensor)

    def tensors(self) -> Iterator[PlanTensor]:
        """Yield each tensor's plan; faulty tensors are left out and their faults kept."""
        for index in range(len(self.structure.tensors)):
            try:
                yield self._planned.get(index)
            except SpecError as error:
                self._keep(error, self.structure.tensors[index].name)

    def _keep(self, error: SpecError, name: str) -> None:
        """Keep faults; one that other tensors have too is counted instead."""
        for fault in error.faults:
            # The known names of an expression differ between layers, which have own numbers.
            message, _, _ = fault.message.removeprefix(f"'{name}': ").partition("; known names:")
            cause = (fault.path, message)
            self._causes.setdefault(cause, fault)
            self._alike[cause] += 1

    def _kept(self) -> Iterator[Fault]:
        for cause, fault in self._causes.items():
            more = self._alike[cause] - 1
            also = f" (and {more} more tensors)" if more else ""
            yield Fault(fault.path, fault.message + also)

    def check(self, tensors: Sequence[PlanTensor]) -> None:
        """Check the rules and the tensors as a whole, and report all faults.

        Raises:
            SpecError: The spec has a fault.
        """
        init, dtype = self.spec.init.rules, self.spec.dtype_policy.rules
        self._check_used("init.rules", self.matches, self.won, _optional(init))
        self._check_used("dtype.rules", self.dtype_matches, self.dtype_won, _optional(dtype))
        for index in sorted(self.dtype_won - self.dtype_touched):
            path = f"dtype.rules.{index}"
            message = f"{path} has no effect: it wins no floating tensor"
            self.warnings.append(PlanWarning("SP102", path, message))
        self.warnings.extend(found_in(self.spec, self.structure, tensors))
        self.warnings.extend(stale_parametrizations(tensors))
        self.warnings.extend(non_finite(tensors, self.blobs))
        if self.unmatched:
            self.faults.append(Fault("init.unmatched", self._no_rule()))
        total = sum(tensor.nbytes for tensor in tensors)
        if total > MAX_BYTES:
            self.faults.append(Fault("architecture", f"{total} bytes are more than 2^53 - 1"))
        if faults := [*self._kept(), *self.faults]:
            raise SpecError(list(dict.fromkeys(faults))[:MAX_FAULTS])

    def _tensor(self, index: int) -> PlanTensor:
        declared, candidates = self.structure.tensors[index], self.structure.candidates[index]
        dtype = self._dtype(declared, candidates)
        check_declared(declared, dtype, self.spec.init.generator)
        self._warn_of_aliases(candidates)
        subject = self._subject(declared, dtype)
        in_turn = self._in_turn(candidates, subject)
        won, resolved = self._matcher.first(candidates), None
        if in_turn:
            won, resolved = in_turn[-1]
        elif won is not None:
            self.won.add(won.index)
            resolved = self.resolved[declared.name] = self._resolve(won, subject)
        fans = resolved.fans if resolved else default_fans(declared.shape, declared.layout)
        program = (
            self._program_in_turn(declared, dtype, in_turn)
            if in_turn
            else self._program(declared, dtype, resolved, None if won is None else won.index)
        )
        return PlanTensor(
            name=declared.name,
            shape=declared.shape,
            dtype=dtype,
            kind=declared.kind,
            module=self.structure.module_class(declared.name),
            program=program,
            aliases=declared.aliases,
            rule=None if won is None else won.index,
            fan_in=None if fans is None else fans.fan_in,
            fan_out=None if fans is None else fans.fan_out,
            reproducibility="platform" if self.sequential else "everywhere",
        )

    def _subject(self, declared: Declared, dtype: DType) -> Subject:
        numbers = self.structure.numbers_of(declared)
        sibling = partial(self.structure.sibling, declared.name)
        around = Surroundings(declared.layout, numbers.groups, sibling)
        return Subject(declared.name, declared.shape, dtype, around, numbers.by_name)

    def _in_turn(
        self, candidates: Sequence[Candidate], subject: Subject
    ) -> list[tuple[Won, Resolved]]:
        """Return the winning rule for each name of a tied tensor, in script order.

        The list is empty if one rule wins all names. A script fills the tensor under each name, so
        the last fill stays. Only sequential generators run as a script does; elsewhere the first
        rule wins.
        """
        if not self.sequential or len(candidates) == 1:
            return []
        found = {
            candidate.name: won
            for candidate in scripted(candidates)
            if (won := self._matcher.first([candidate])) is not None
        }
        if len({won.index for won in found.values()}) < 2:
            return []
        self.won.update(won.index for won in found.values())
        for name, won in found.items():
            self.resolved[name] = self._resolve(won, subject)
        return [(won, self.resolved[name]) for name, won in found.items()]

    def _program_in_turn(
        self, declared: Declared, dtype: DType, in_turn: Sequence[tuple[Won, Resolved]]
    ) -> Program:
        """Return the program of a tensor that several rules fill one after the other."""
        shown = None
        for won, resolved in in_turn:
            made = replace(declared, own=declared.own if shown is None else shown)
            program = self._program(made, dtype, resolved, won.index)
            assert isinstance(program.source, Materialized)
            shown = program.source.shown
        assert shown is not None
        return Program(Materialized(shown, tuple(won.index for won, _ in in_turn)))

    def _resolve(self, won: Won, subject: Subject) -> Resolved:
        rule = self.spec.init.rules[won.index]
        outside = self._dependencies[won.index].values(subject)
        key = (won.index, *won.captures.items(), subject.shape, subject.dtype, outside)
        if (resolved := self._resolutions.get(key)) is None:
            other = self._planned.other
            resolved = resolve(rule, won, subject, self.constants, self.blobs, other)
            self.warnings += [found for found in resolved.warnings if found not in self.warnings]
            if self.spec.init.generator == "numpy":
                check_numpy(resolved.sources, won.index)
            self._resolutions[key] = resolved
        return resolved

    def _program(
        self, declared: Declared, dtype: DType, resolved: Resolved | None, rule: int | None
    ) -> Program:
        strict = self.spec.init.unmatched == "error" and declared.kind == "parameter"
        if resolved is None and strict:
            self.unmatched.append(declared.name)
        keeps = resolved is None or resolved.keeps_own
        if (own := self._own(declared) if keeps else None) is None and keeps:
            because = "" if declared.reason is None else f" ({declared.reason})"
            raise SpecError.at(
                declared.path,
                f"'{declared.name}' has no own init{because} and no rule fills it; {self._rules()}",
            )
        key = (id(own), id(resolved))
        if (program := self._programs.get(key)) is None:
            composed = _composed(own, resolved)
            if resolved is not None and self._in_single(composed, resolved, dtype):
                check_single(resolved, f"init.rules.{rule}", declared.name)
            program = Program(Materialized(composed)) if self.sequential else composed
            self._programs[key] = program
        if not self.sequential:
            self._check_cost(program, declared, rule)
        return program

    def _own(self, declared: Declared) -> Program | None:
        """Return the own init; a sequential generator also runs inits that no program expresses."""
        if declared.own is None and self.sequential and declared.is_computable:
            return OPAQUE
        return declared.own

    def _in_single(self, program: Program, resolved: Resolved, dtype: DType) -> bool:
        """Return whether the tensor's transforms are computed in float32, not in float64."""
        if dtype.name != "float64":
            return dtype.is_floating
        if self.sequential and not resolved.sources:
            return True  # the module was built in float32
        return program.draws and self.spec.init.generator != "numpy"

    def _check_cost(self, program: Program, declared: Declared, rule: int | None) -> None:
        path = declared.path if rule is None else f"init.rules.{rule}.initializer"
        for source, shape in whole_sources(program, declared.shape):
            if problem := too_costly(source, shape):
                raise SpecError.at(path, f"'{declared.name}': {problem}")

    def _dtype(self, declared: Declared, candidates: Sequence[Candidate]) -> DType:
        won = self._dtype_matcher.first(candidates)
        if won is not None:
            self.dtype_won.add(won.index)
        if not declared.dtype.is_floating:
            return declared.dtype
        if won is not None:
            self.dtype_touched.add(won.index)
        policy = self.spec.dtype_policy
        if won is None and declared.keeps_dtype:
            return declared.dtype
        name = policy.default if won is None else policy.rules[won.index].dtype
        return declared.dtype if name == "declared" else BY_NAME[name]

    def _warn_of_aliases(self, candidates: Sequence[Candidate]) -> None:
        if len(candidates) == 1:
            return
        wins = [self._matcher.first([candidate]) for candidate in candidates]
        if len({won.index for won in wins if won is not None}) > 1:
            each = ", ".join(
                f"'{candidate.name}' {'no rule' if won is None else f'rule {won.index}'}"
                for candidate, won in zip(candidates, wins, strict=True)
            )
            message = f"different rules win the names of one tensor: {each}"
            self.warnings.append(PlanWarning("SP103", "init.rules", message))

    def _check_used(
        self, path: str, matches: Sequence[Match], won: set[int], optional: set[int]
    ) -> None:
        unused = sorted(set(range(len(matches))) - won)
        matched = self._matched([matches[index] for index in unused])
        idle = [index for number, index in enumerate(unused) if number not in matched]
        idle = [index for index in idle if index not in optional]
        candidates = list(chain.from_iterable(self.structure.candidates)) if idle else []
        for index in idle[:MAX_FAULTS]:  # no more are reported
            why = reason(matches[index], candidates, self.structure.module_class)
            self.faults.append(Fault(f"{path}.{index}.match", f"matches no tensor: {why}"))
        for number in sorted(matched):
            index = unused[number]
            message = f"{path}.{index} has no effect: earlier rules win its tensors"
            self.warnings.append(PlanWarning("SP101", f"{path}.{index}", message))

    def _matched(self, matches: Sequence[Match]) -> set[int]:
        """Return which of `matches` any tensor matches, whichever rule wins it."""
        if not matches:
            return set()
        return Matcher(matches).matching(chain.from_iterable(self.structure.candidates))

    def _no_rule(self) -> str:
        return f"no rule for {listed(self.unmatched)}; {self._rules()}"

    def _rules(self) -> str:
        shown = [str(match.model_dump(exclude_none=True)) for match in self.matches]
        return f"rules: {listed(shown)}" if shown else "there are no rules"


def _optional(rules: Sequence[Rule | DTypeRule]) -> set[int]:
    """Return the numbers of the rules that may match no tensor."""
    return {number for number, rule in enumerate(rules) if rule.optional}


def _composed(own: Program | None, resolved: Resolved | None) -> Program:
    """Return the rule's source, or else the own init, followed by the rule's transforms.

    Parts of a split may keep the own init.
    """
    if resolved is None or not resolved.sources:
        assert own is not None
        return Program(own.source, own.transforms + (resolved.transforms if resolved else ()))
    source = resolved.sources[-1]
    if own is not None and isinstance(source, Split):
        source = replace(source, base=own)
    return Program(source, resolved.transforms)
