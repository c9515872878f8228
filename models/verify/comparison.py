"""Comparison of a file with its plan: the work, the means to do it, and the differences."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.files.layout import Entry, File
from seedpoint.models.generation.evaluator import ByteArray
from seedpoint.models.plan.inner_sources import inner_sources
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import Blob, Copy, Literal, Materialized, Program, Split, Sum
from seedpoint.models.plan.program_json import to_json
from seedpoint.models.stream import float4
from seedpoint.models.stream.cost import too_costly, whole_sources
from seedpoint.models.verify.findings import Sample
from seedpoint.models.verify.header import FileFault, Header, shown

SAMPLED_ELEMENTS = 1 << 16  # block size of a sample; another size would choose other blocks


@dataclass(frozen=True, slots=True)
class Block:
    """Elements [start, stop) of an entry of file number `file`, to be generated."""

    file: int
    entry: Entry
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class DigestCheck:
    """Entry of file number `file` whose bytes must have the digest `sha256`."""

    file: int
    entry: Entry
    sha256: str


@dataclass(frozen=True, slots=True)
class Means:
    """Means of comparison, other than generated elements, for a plan's tensors by number.

    `digests` are the SHA-256 of literals whose bytes are not available. `hindered` are the tensors
    that cannot be compared, with the reason.
    """

    digests: Mapping[int, str]
    hindered: Mapping[int, str]

    @classmethod
    def of(
        cls,
        plan: Plan,
        blobs: Mapping[str, bytes],
        materialized: Container[str],
        *,
        blob_files: Container[str] = (),
        unbound: str = "",
        max_digested_bytes: int | None = None,
    ) -> Means:
        """Choose the means from the available literals (SHA-256) and platform-bound tensors (name).

        `blob_files` are the available blobs (SHA-256); `unbound` is the reason why platform-bound
        tensors are missing.

        Raises:
            FileFault: A literal is not as long as the plan says.
        """
        digests: dict[int, str] = {}
        hindered: dict[int, str] = {}
        for number, tensor in enumerate(plan.tensors):
            if isinstance(tensor.program.source, Materialized):
                reason = None if tensor.name in materialized else unbound
            else:
                reason = _hindrance(tensor, blobs, blob_files)
            if reason is None or not tensor.numel:
                continue
            sha256 = _digest(tensor)
            if sha256 is None:
                hindered[number] = reason
            elif max_digested_bytes is not None and tensor.nbytes > max_digested_bytes:
                hindered[number] = f"{reason}, and its {tensor.nbytes} bytes were not read"
            else:
                digests[number] = sha256
        return cls(digests, hindered)


# --- work to compare -------------------------------------------------------------


def work(
    files: Sequence[File], plan: Plan, means: Means, sample: Sample | None, size_elements: int
) -> Iterator[Block | DigestCheck]:
    """Yield the comparisons in byte order: everything in blocks of `size_elements`, or a sample.

    A tensor that is compared by its digest is read whole, or not at all.
    """
    entries = [(number, entry) for number, file in enumerate(files) for entry in file.entries]
    if sample is None:
        chosen = _every(entries, plan, means, size_elements)
    else:
        chosen = _some(entries, plan, means, sample)
    whole = None
    for block in chosen:
        tensor = block.entry.tensor
        if tensor not in means.digests:
            yield block
        elif whole is not block.entry:
            whole = block.entry
            yield DigestCheck(block.file, block.entry, means.digests[tensor])


def needs_bytes(plan: Plan) -> bool:
    """Return whether the evaluation of `plan` needs bytes that are not in the plan."""
    return plan.platform is not None or any(
        True for tensor in plan.tensors for _ in _literals(tensor.program, tensor.numel)
    )


def _every(
    entries: Sequence[tuple[int, Entry]], plan: Plan, means: Means, size_elements: int
) -> Iterator[Block]:
    for number, entry in entries:
        numel = 0 if entry.tensor in means.hindered else plan.tensors[entry.tensor].numel
        size = numel if entry.tensor in means.digests else size_elements
        for start in range(0, numel, size or 1):
            yield Block(number, entry, start, min(start + size, numel))


def _some(
    entries: Sequence[tuple[int, Entry]], plan: Plan, means: Means, sample: Sample
) -> Iterator[Block]:
    """Yield `sample.count` blocks of SAMPLED_ELEMENTS, or all blocks if there are fewer.

    The bytes of all tensors are cut into `count` equal stretches. In each, the SHA-256 of the seed,
    the id and the stretch's number chooses a byte, and its block is checked. Two bytes of one block
    count once. One seed makes the same choice on any machine.
    """
    stops = list(accumulate(entry.stop_byte - entry.start_byte for _, entry in entries))
    total = stops[-1] if stops else 0
    blocks = sum(-(-plan.tensors[entry.tensor].numel // SAMPLED_ELEMENTS) for _, entry in entries)
    if sample.count >= blocks:
        yield from _every(entries, plan, means, SAMPLED_ELEMENTS)
        return
    before = None
    for stretch in range(sample.count):
        low, high = stretch * total // sample.count, (stretch + 1) * total // sample.count
        if low == high:
            continue
        at = low + _choice(f"{sample.seed} {plan.id} {stretch}", high - low)
        place = bisect_right(stops, at)
        number, entry = entries[place]
        tensor = plan.tensors[entry.tensor]
        element = tensor.dtype.elements(at - stops[place] + tensor.nbytes)
        start = element // SAMPLED_ELEMENTS * SAMPLED_ELEMENTS
        block = Block(number, entry, start, min(start + SAMPLED_ELEMENTS, tensor.numel))
        if block != before and entry.tensor not in means.hindered:
            yield block
        before = block


def _choice(text: str, size: int) -> int:
    """Return a number in [0, size) determined by `text`; its bias is below 2^-128."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big") % size


# --- hindrances --------------------------------------------------------------------


def _hindrance(
    tensor: PlanTensor, blobs: Mapping[str, bytes], blob_files: Container[str]
) -> str | None:
    """Return the reason why the tensor's elements cannot be generated here; None if they can."""
    for source in inner_sources(tensor.program):
        if isinstance(source, Blob) and source.sha256 not in blob_files:
            return f"blob {source.sha256} is not given (--blob FILE)"
    for literal, numel in _literals(tensor.program, tensor.numel):
        if literal.sha256 not in blobs:
            return f"its literal {literal.sha256} is not what today's libraries make of its spec"
        nbytes = BY_NAME[literal.dtype].nbytes(numel)
        if len(blobs[literal.sha256]) != nbytes:
            raise FileFault(
                f"{shown(tensor.name)}: its literal does not have the {nbytes} bytes that it needs"
            )
    for source, shape in whole_sources(tensor.program, tensor.shape):
        if reason := too_costly(source, shape):
            return reason
    return None


def _literals(program: Program, numel: int) -> Iterator[tuple[Literal, int]]:
    """Yield each literal that `program` takes, with its share of `numel` elements."""
    source = program.source
    if isinstance(source, Literal):
        yield source, numel
    if isinstance(source, Sum):
        for term in source.terms:
            yield from _literals(term, numel)
    if isinstance(source, Copy):
        yield from _literals(source.of, math.prod(source.shape))
    if isinstance(source, Split):
        if source.base is not None:
            yield from _literals(source.base, numel)
        for part in source.parts:
            width = source.stops[-1] * source.repeat
            yield from _literals(part.program, numel // width * part.size)


def _digest(tensor: PlanTensor) -> str | None:
    """Return the SHA-256 of the tensor's bytes if the plan states it: an unchanged literal."""
    source = tensor.program.source
    if not isinstance(source, Literal) or tensor.program.transforms:
        return None
    return source.sha256 if source.dtype == tensor.dtype.name else None


# --- differences -----------------------------------------------------------------


def first_difference(found: ByteArray, expected: ByteArray, dtype: DType) -> int | None:
    """Return the first element at which two byte ranges differ; None when they are equal."""
    if np.array_equal(found, expected):
        return None
    at = int(np.argmax(found != expected))
    first = dtype.elements(at)
    is_second = dtype.per_item > 1 and (found[at] ^ expected[at]) & 15 == 0
    return first + 1 if is_second else first


def element(raw: ByteArray, at: int, dtype: DType) -> bytes:
    """Return the bytes of element `at`; a byte with its pattern if two elements share one."""
    if dtype.per_item > 1:
        return float4.patterns(raw[at // 2 : at // 2 + 1])[at % 2 : at % 2 + 1].tobytes()
    return raw[dtype.nbytes(at) : dtype.nbytes(at + 1)].tobytes()


def header_difference(expected: Header, found: Header) -> str:
    """Describe how a file's header differs from the header of its plan, in the file's terms."""
    for name, value in found.metadata.items():
        if name not in expected.metadata:
            return f"its metadata has {shown(name)}, which Seedpoint does not write there"
        if value != expected.metadata[name]:
            return f"{shown(name)} in its metadata is not what Seedpoint writes"
    if missing := [name for name in expected.metadata if name not in found.metadata]:
        return f"its metadata lacks {shown(missing[0])}"
    for name, planned in expected.tensors.items():
        if name not in found.tensors:
            return f"its plan has a tensor {shown(name)}, which its header lacks"
        stored = found.tensors[name]
        for what in ("dtype", "shape", "start_byte", "stop_byte"):
            says, would = getattr(stored, what), getattr(planned, what)
            if says != would:
                return f"{shown(name)}: {what} is {says} in its header, {would} by its plan"
    if more := [name for name in found.tensors if name not in expected.tensors]:
        return f"its header has a tensor {shown(more[0])}, which its plan lacks"
    return (
        "its header has the content of Seedpoint's header in other bytes: another program wrote it"
    )


def long_difference(expected: bytes, found: bytes) -> str:
    """Describe how a header too long for parsing differs from the header of its plan."""
    size = min(len(expected), len(found))
    ours, theirs = (np.frombuffer(head, np.uint8, size) for head in (expected, found))
    at = first_difference(theirs, ours, BY_NAME["uint8"])
    return (
        f"its header has {len(found):,} bytes, and is not the one of {len(expected):,} that "
        f"Seedpoint writes for its plan: they differ from byte {size if at is None else at} on"
    )


def plan_difference(ours: Plan, theirs: Plan) -> str | None:
    """Describe how a plan made now differs from the plan in a file; None when they are equal."""
    if ours.id == theirs.id:
        return None
    before = {tensor.name: tensor for tensor in theirs.tensors}
    for tensor in ours.tensors:
        name = shown(tensor.name)
        if (old := before.pop(tensor.name, None)) is None:
            return f"it would have a tensor {name}"
        if (tensor.shape, tensor.dtype) != (old.shape, old.dtype):
            return f"{name} would be {tensor.dtype} {list(tensor.shape)}"
        if tensor.aliases != old.aliases:
            return f"{name} would have other aliases"
        if tensor.program != old.program:
            return f"{name} would be {shown(to_json(tensor.program))}"
    if before:
        return f"it would not have the tensor {shown(next(iter(before)))}"
    if ours.platform != theirs.platform:
        return f"its platform would be {shown(ours.platform)}"
    return "its tensors would be in another order, or laid out otherwise"
