"""Search for warnings: values that a spec gives, and may not have meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from seedpoint.models.draws import TruncNormal
from seedpoint.models.initializers import Own
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.program import Materialized, Orthogonal, Program, Split
from seedpoint.models.plan.transforms import ZeroRows
from seedpoint.models.plan.warning import PlanWarning
from seedpoint.models.planning.record_architecture import Structure
from seedpoint.models.planning.shared_streams import shared_streams
from seedpoint.models.rules.matcher import Matcher
from seedpoint.models.rules.rule import Match
from seedpoint.models.spec.schema import Spec
from seedpoint.models.statistics.overflow import overflowing
from seedpoint.models.statistics.underflow import smallest, vanishing
from seedpoint.models.validation.messages import listed

SHOWN = 8  # shared streams that are listed; the rest are counted
FEW_VALUES = 1 << 16  # different values of a draw, below which they repeat noticeably
NO_TRUNCATION = 6.0  # std; a normal value lies beyond it once in 5 * 10^8

_FIRST_LEVEL = re.compile(r"\*(?![*{])")  # a glob `*...`; `**...` parses too


def found_in(
    spec: Spec, structure: Structure, tensors: Sequence[PlanTensor]
) -> Iterator[PlanWarning]:
    """Yield the warnings of the plan's tensors."""
    yield from _of_first_level(spec, structure, tensors)
    yield from _of_dtypes(tensors)
    if spec.init.generator == "philox-v1":
        yield from _of_lists(spec)
        yield from _of_streams(spec, tensors)
    yield from _of_truncation(tensors)
    yield from _of_rows(tensors)
    yield from _of_padding(spec, structure, tensors)
    yield from _of_clones(structure, tensors)


def _of_first_level(
    spec: Spec, structure: Structure, tensors: Sequence[PlanTensor]
) -> Iterator[PlanWarning]:
    """Yield a warning for each glob `*...` whose `**...` matches tensors that no rule wins."""
    narrow = [
        (index, rule.match, glob)
        for index, rule in enumerate(spec.init.rules)
        for glob in rule.match.names
        if glob is not None and _FIRST_LEVEL.match(glob)
    ]
    if not narrow:
        return
    free = {tensor.name for tensor in tensors if tensor.rule is None}
    candidates = [c for each in structure.candidates if each[0].name in free for c in each]
    wide = Matcher([_with_name(match, f"*{glob}") for _, match, glob in narrow])
    for found in sorted(wide.matching(candidates))[:SHOWN]:
        index, match, glob = narrow[found]
        few, many = (_count(_with_name(match, g), structure) for g in (glob, f"*{glob}"))
        if few:
            yield PlanWarning(
                "SP104",
                f"init.rules.{index}.match.name",
                f"init.rules.{index}: '{glob}' matches {few} of the {many} names that '*{glob}' "
                "matches, because `*` stays inside a segment",
            )


def _with_name(match: Match, glob: str) -> Match:
    return match.model_copy(update={"name": glob})


def _count(match: Match, structure: Structure) -> int:
    matcher = Matcher([match])
    return sum(
        matcher.first([candidate]) is not None
        for candidate in chain.from_iterable(structure.candidates)
    )


def _of_lists(spec: Spec) -> Iterator[PlanWarning]:
    for index, rule in enumerate(spec.init.rules):
        for number, initializer in enumerate(rule.initializers[:-1]):
            path = f"init.rules.{index}.initializer.{number}"
            yield PlanWarning(
                "SP105",
                path,
                f"{path}: {initializer.type} has no effect: "
                "the next initializer of the list overwrites the whole tensor",
            )


def _of_dtypes(tensors: Sequence[PlanTensor]) -> Iterator[PlanWarning]:
    for dtype, names in overflowing(tensors).items():
        yield PlanWarning(
            "SP202",
            "dtype",
            f"values of {listed(names)} are expected to overflow {dtype}, whose largest is "
            f"{dtype.limits.max:g}",
        )
    for dtype, names in vanishing(tensors).items():
        yield PlanWarning(
            "SP209",
            "dtype",
            f"most values of {listed(names)} are expected to round to zero in {dtype}, whose "
            f"smallest number is {smallest(dtype):g}",
        )
    for name in ("float8_e8m0fnu", "float4_e2m1fn_x2"):
        if names := [tensor.name for tensor in tensors if tensor.dtype.name == name]:
            yield PlanWarning(
                "SP203",
                "architecture",
                f"{listed(names)} are {name}, which safetensors.torch.load does not read from "
                "bytes (seen with safetensors 0.8); its load_file and safe_open do",
            )


def _of_streams(spec: Spec, tensors: Sequence[PlanTensor]) -> Iterator[PlanWarning]:
    split = {i for i, rule in enumerate(spec.init.rules) if rule.splits is not None}
    shared = shared_streams(tensors, split)
    for stream, users in shared[:SHOWN]:
        yield PlanWarning(
            "SP201",
            "init.rules",
            f"{listed(users)} draw the same values from one stream, '{stream}': give each "
            "part its own name with `as`",
        )
    if (more := len(shared) - SHOWN) > 0:
        message = f"and {more} more streams are shared by parts of splits"
        yield PlanWarning("SP201", "init.rules", message)


def _of_truncation(tensors: Sequence[PlanTensor]) -> Iterator[PlanWarning]:
    few: dict[tuple[int, TruncNormal], list[str]] = {}
    wide: dict[tuple[int, TruncNormal], list[str]] = {}
    for tensor in tensors:
        for part in _parts(tensor.program):
            source = part.source
            if tensor.rule is None or not isinstance(source, TruncNormal):
                continue
            if source.distinct_values < FEW_VALUES:
                few.setdefault((tensor.rule, source), []).append(tensor.name)
            nearest = min(source.mean - source.a, source.b - source.mean)
            if nearest >= NO_TRUNCATION * source.std:
                wide.setdefault((tensor.rule, source), []).append(tensor.name)
    for (rule, source), names in few.items():
        count = f"{source.distinct_values:,}"
        message = f"{_each(names)} has only {count} different values, so far in a tail"
        yield _of_initializer("SP204", rule, message)
    for (rule, source), names in wide.items():
        message = (
            f"trunc_normal truncates nothing in {listed(list(dict.fromkeys(names)))}: its bounds "
            f"[{source.a:g}, {source.b:g}] are absolute, and std is {source.std:g}; "
            'write `"a": "-2 * std", "b": "2 * std"` to truncate at two std'
        )
        yield _of_initializer("SP205", rule, message)


def _of_rows(tensors: Sequence[PlanTensor]) -> Iterator[PlanWarning]:
    single: dict[int, list[str]] = {}
    for tensor in tensors:
        source = _shown(tensor.program).source
        if tensor.rule is None or not isinstance(source, Split):
            continue
        rows = {part.size if source.axis == 0 else tensor.shape[0] for part in source.parts}
        is_orthogonal = any(isinstance(p.source, Orthogonal) for p in _parts(tensor.program))
        if is_orthogonal and rows == {1}:
            single.setdefault(tensor.rule, []).append(tensor.name)
    for rule, names in single.items():
        message = f"orthogonal fills parts of one row in {listed(names)}: each is a unit vector"
        yield _of_initializer("SP206", rule, message)


def _of_padding(
    spec: Spec, structure: Structure, tensors: Sequence[PlanTensor]
) -> Iterator[PlanWarning]:
    drawn: dict[int, list[str]] = {}
    for tensor in tensors:
        row = structure.padding.get(tensor.name)
        program = _shown(tensor.program)
        if row is None or tensor.rule is None or not program.draws:
            continue
        if isinstance(spec.init.rules[tensor.rule].initializers[-1], Own):
            continue
        zeroed = {row for t in program.transforms if isinstance(t, ZeroRows) for row in t.rows}
        if row not in zeroed:
            drawn.setdefault(tensor.rule, []).append(f"{tensor.name}[{row}]")
    for rule, rows in drawn.items():
        message = (
            f"init.rules.{rule} draws over the row of padding_idx, {listed(rows)}; add the "
            "transform zero_rows to set it to zero"
        )
        yield PlanWarning("SP207", f"init.rules.{rule}", message)


def _of_clones(structure: Structure, tensors: Sequence[PlanTensor]) -> Iterator[PlanWarning]:
    own = {tensor.name: _shown(tensor.program) for tensor in tensors if tensor.rule is None}
    streams = {getattr(program.source, "stream", None) for program in own.values()}
    for name in structure.clones:
        first = f"{name}.layers.0." if name else "layers.0."
        equal = [tensor for tensor in own if tensor.startswith(first) and tensor in streams]
        if equal:
            where = f"the layers of '{name}'" if name else "the layers"
            yield PlanWarning(
                "SP302",
                "architecture",
                f"{where} are equal at the start, because PyTorch clones one layer: "
                f"{listed(equal)} and those of the other layers; a rule gives each its own draws",
            )


def _of_initializer(code: str, rule: int, message: str) -> PlanWarning:
    path = f"init.rules.{rule}.initializer"
    return PlanWarning(code, path, f"{path}: {message}")


def _each(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    return f"each of {listed(unique)}" if len(unique) > 1 else listed(unique)


def _shown(program: Program) -> Program:
    source = program.source
    return source.shown if isinstance(source, Materialized) else program


def _parts(program: Program) -> Iterator[Program]:
    """Yield the program, or else the programs of the parts of its split."""
    shown = _shown(program)
    if isinstance(shown.source, Split):
        yield from (part.program for part in shown.source.parts)
    else:
        yield shown
