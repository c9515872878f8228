"""Search for warnings: values that a spec gives, and may not have meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.plan.warning import PlanWarning
from seedpoint.models.planning.record_architecture import Structure
from seedpoint.models.planning.shared_streams import shared_streams
from seedpoint.models.planning.value_warnings import of_padding, of_rows, of_truncation, shown
from seedpoint.models.rules.matcher import Matcher
from seedpoint.models.rules.rule import InitializerList, Match
from seedpoint.models.spec.schema import Spec
from seedpoint.models.statistics.overflow import overflowing
from seedpoint.models.statistics.underflow import smallest, vanishing
from seedpoint.models.validation.messages import listed

SHOWN = 8  # shared streams that are listed; the rest are counted

# A `*` that begins a glob, or is a segment of it; `**...` parses too.
_ONE_SEGMENT = re.compile(r"^\*(?![*{])|(?<=\.)\*(?=\.|$)")


def found_in(
    spec: Spec, structure: Structure, tensors: Sequence[PlanTensor]
) -> Iterator[PlanWarning]:
    """Yield the warnings of the plan's tensors."""
    yield from _of_single_segments(spec, structure, tensors)
    yield from _of_dtypes(tensors)
    if spec.init.generator == "philox-v1":
        yield from _of_lists(spec)
        yield from _of_streams(spec, tensors)
    yield from of_truncation(tensors)
    yield from of_rows(tensors)
    yield from of_padding(spec, structure, tensors)
    yield from _of_clones(structure, tensors)


def _of_single_segments(
    spec: Spec, structure: Structure, tensors: Sequence[PlanTensor]
) -> Iterator[PlanWarning]:
    """Yield a warning for each `*` where `**` would match tensors that no rule wins."""
    narrow = [
        (index, rule.match, glob)
        for index, rule in enumerate(spec.init.rules)
        for glob in rule.match.names
        if glob is not None and _ONE_SEGMENT.search(glob)
    ]
    if not narrow:
        return
    free = {tensor.name for tensor in tensors if tensor.rule is None}
    candidates = [c for each in structure.candidates if each[0].name in free for c in each]
    wide = Matcher([_with_name(match, _widened(glob)) for _, match, glob in narrow])
    for found in sorted(wide.matching(candidates))[:SHOWN]:
        index, match, glob = narrow[found]
        more = _widened(glob)
        few, many = (_count(_with_name(match, g), structure) for g in (glob, more))
        if few:
            yield PlanWarning(
                "SP104",
                f"init.rules.{index}.match.name",
                f"init.rules.{index}: '{glob}' matches {few} of the {many} names that '{more}' "
                "matches, because `*` stays inside a segment",
            )


def _widened(glob: str) -> str:
    return _ONE_SEGMENT.sub("**", glob)


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
        path = f"init.rules.{index}"
        yield from _of_list(path, rule.initializer)
        for number, part in enumerate(() if rule.splits is None else rule.splits.parts):
            yield from _of_list(f"{path}.splits.parts.{number}", part.initializer)


def _of_list(path: str, given: InitializerList | None) -> Iterator[PlanWarning]:
    for number, initializer in enumerate(given[:-1] if isinstance(given, tuple) else ()):
        place = f"{path}.initializer.{number}"
        yield PlanWarning(
            "SP105",
            place,
            f"{place}: {initializer.type} has no effect: the next initializer of the list "
            'overwrites the whole tensor; {"type": "sum"} adds them',
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


def _of_clones(structure: Structure, tensors: Sequence[PlanTensor]) -> Iterator[PlanWarning]:
    own = {tensor.name: shown(tensor.program) for tensor in tensors if tensor.rule is None}
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
