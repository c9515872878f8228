"""Compilation of a spec into a plan: match rules, resolve initializers, choose dtypes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

from seedpoint.models.dtypes import DType
from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.files.blobs import NO_BLOBS, Blobs
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
from seedpoint.models.planning.fault_tally import FaultTally
from seedpoint.models.planning.module_numbers import ExpressionNames
from seedpoint.models.planning.non_finite import non_finite
from seedpoint.models.planning.numpy_draws import check_numpy
from seedpoint.models.planning.planned_tensors import PlannedTensors
from seedpoint.models.planning.record_architecture import Declared, Structure, survey
from seedpoint.models.planning.rule_list import RuleList
from seedpoint.models.planning.script_order import scripted
from seedpoint.models.planning.stale_parametrizations import stale_parametrizations
from seedpoint.models.planning.tensor_dtypes import TensorDtypes
from seedpoint.models.planning.warnings import found_in
from seedpoint.models.rules.dependencies import Dependencies
from seedpoint.models.rules.no_match import criteria
from seedpoint.models.rules.resolve import Resolved, Subject, check_single, resolve
from seedpoint.models.rules.rule import Candidate, Won
from seedpoint.models.spec.constants import constant_values
from seedpoint.models.spec.limits import DEFAULT, Limits
from seedpoint.models.spec.schema import Spec, normalized
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
    a tied tensor in turn (`Materialized.rules`), it has one for each name that a rule wins. `names`
    are those of layers and configs that expressions may hold.
    """

    plan: Plan
    blobs: Mapping[str, bytes]
    resolved: Mapping[str, Resolved]
    names: ExpressionNames = field(default_factory=ExpressionNames)

    def reseeded(self, spec: Spec, structure: Structure) -> Planned:
        """Return the result of `plan_structure` for a spec that differs only in its seed."""
        document = normalized(spec, architecture=structure.document)
        return replace(self, plan=self.plan.reseeded(spec.init.seed, document))


def make_plan(
    spec: Spec,
    *,
    platform: Mapping[str, object] | None = None,
    limits: Limits = DEFAULT,
    blobs: Blobs = NO_BLOBS,
) -> Planned:
    """Return the plan of `spec`.

    `platform` describes the dependencies of a sequential generator's bits
    (`sequential.platform()`); only plans of those generators contain it. `blobs` has the headers of
    the files that the spec names; their data are not read.

    Raises:
        SpecError: The spec has faults; the error names the path of each.
        ValueError: A sequential generator is given no platform.
    """
    structure = survey(spec.architecture, limits, dtype=spec.model_dtype)
    return plan_structure(spec, structure, platform=platform, limits=limits, blobs=blobs)


def plan_structure(
    spec: Spec,
    structure: Structure,
    *,
    platform: Mapping[str, object] | None = None,
    limits: Limits = DEFAULT,
    blobs: Blobs = NO_BLOBS,
) -> Planned:
    """Return the plan of `spec` over its recorded architecture.

    Raises the same errors as `make_plan`.
    """
    names = sum(map(len, structure.candidates))
    limits.check_rules("init.rules", spec.init.rules, names)
    limits.check_rules("dtype.rules", spec.dtype_policy.rules, names)
    compiler = _Compiler(spec, structure, blobs)
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
    return Planned(plan, compiler.blobs, compiler.resolved, structure.expression_names)


class _Compiler:
    """Single pass over the tensors, which collects all faults and reports them together."""

    def __init__(self, spec: Spec, structure: Structure, blobs: Blobs) -> None:
        self.spec = spec
        self.structure = structure
        self.sequential = spec.init.generator != "philox-v1"
        self.constants = constant_values(spec.init.constants)
        optional = {index for index, rule in enumerate(spec.init.rules) if rule.optional}
        matches = [rule.match for rule in spec.init.rules]
        self._rules = RuleList("init.rules", matches, optional=optional)
        self._dtypes = TensorDtypes(spec.dtype_policy)
        self.unmatched: list[str] = []
        self.faults: list[Fault] = []
        self._tally = FaultTally()
        self.warnings: list[PlanWarning] = list(structure.warnings)
        self.resolved: dict[str, Resolved] = {}
        self.blobs: dict[str, bytes] = dict(structure.blobs)
        self._blob_tensors = cache(blobs.tensors)
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
                self._tally.add(error, self.structure.tensors[index].name)

    def check(self, tensors: Sequence[PlanTensor]) -> None:
        """Check the rules and the tensors as a whole, and report all faults.

        Raises:
            SpecError: The spec has a fault.
        """
        for rules in (self._rules, self._dtypes.rules):
            faults, warnings = rules.idle(self.structure)
            self.faults += faults
            self.warnings += warnings
        self.warnings.extend(self._dtypes.warnings())
        self.warnings.extend(found_in(self.spec, self.structure, tensors))
        self.warnings.extend(stale_parametrizations(tensors))
        self.warnings.extend(non_finite(tensors, self.blobs))
        if self.unmatched:
            self.faults.append(Fault("init.unmatched", self._no_rule()))
        total = sum(tensor.nbytes for tensor in tensors)
        if total > MAX_BYTES:
            self.faults.append(Fault("architecture", f"{total} bytes are more than 2^53 - 1"))
        if found := [*self._tally.faults(), *self.faults]:
            raise SpecError(list(dict.fromkeys(found))[:MAX_FAULTS])

    def _tensor(self, index: int) -> PlanTensor:
        declared, candidates = self.structure.tensors[index], self.structure.candidates[index]
        dtype = self._dtypes.of(declared, candidates)
        check_declared(declared, dtype, self.spec.init.generator)
        self._warn_of_aliases(candidates)
        subject = self._subject(declared, dtype)
        in_turn = self._in_turn(candidates, subject)
        won, resolved = self._rules.first(candidates), None
        if in_turn:
            won, resolved = in_turn[-1]
        elif won is not None:
            self._rules.count([won])
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
        sibling = partial(self.structure.sibling, declared)
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
            if (won := self._rules.first([candidate])) is not None
        }
        if len({won.index for won in found.values()}) < 2:
            return []
        self._rules.count(found.values())
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
            literals, tensors = self.blobs, self._blob_tensors
            resolved = resolve(rule, won, subject, self.constants, literals, other, tensors)
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
            nothing = f"'{declared.name}' has no own init{because} and no rule fills it"
            raise SpecError.at(
                declared.path,
                f"{nothing}; {self._criteria}",
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

    def _warn_of_aliases(self, candidates: Sequence[Candidate]) -> None:
        if len(candidates) == 1:
            return
        wins = [self._rules.first([candidate]) for candidate in candidates]
        if len({won.index for won in wins if won is not None}) > 1:
            each = ", ".join(
                f"'{candidate.name}' {'no rule' if won is None else f'rule {won.index}'}"
                for candidate, won in zip(candidates, wins, strict=True)
            )
            message = f"different rules win the names of one tensor: {each}"
            self.warnings.append(PlanWarning("SP103", "init.rules", message))

    @property
    def _criteria(self) -> str:
        return criteria([rule.match for rule in self.spec.init.rules])

    def _no_rule(self) -> str:
        return f"no rule for {listed(self.unmatched)}; {self._criteria}"


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
