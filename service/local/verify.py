"""Verification of files from their own headers, block by block on threads."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import numpy as np

from seedpoint.models.errors import PlatformMismatch
from seedpoint.models.generation.device_draws import draws_on
from seedpoint.models.generation.evaluator import ByteArray, Evaluator
from seedpoint.models.plan.inner_sources import blobs_named
from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning.sequential import check_platform, platform
from seedpoint.models.verify import comparison
from seedpoint.models.verify.comparison import Block, DigestCheck, Means
from seedpoint.models.verify.findings import Difference, Report, Sample
from seedpoint.models.verify.header import shown
from seedpoint.service.local.blob_files import LocalBlobs
from seedpoint.service.local.checkpoint_files import Opened, open_checkpoint
from seedpoint.service.local.replan import Replanned, replanning

JOB_BLOCKS = 16  # Blocks in one job of a thread: 4 MiB of float32.
PIECE_BYTES = 1 << 20  # Read and hashed at a time.
MAX_SAMPLED_LITERAL_BYTES = 1 << 26  # Larger literals are not hashed for a sample.

Progress = Callable[[int], AbstractContextManager[Callable[[int], object]]]
Replanning = Callable[[Plan, LocalBlobs], AbstractContextManager["Future[Replanned]"]]
Outcome = tuple[Block | DigestCheck, int, Difference | None]
"""A job, the number of bytes that it compared, and the difference found."""


def verify(
    path: Path,
    *,
    threads: int,
    progress: Progress,
    device: str = "cpu",
    sample: Sample | None = None,
    blobs: LocalBlobs | None = None,
    replanning: Replanning = replanning,
) -> Report:
    """Compare the checkpoint at `path` (`open_checkpoint`) with the plan in its header.

    `progress` gets the number of bytes to compare; the function it yields gets those done.
    `blobs` are the files that the spec names by SHA-256; without them, the tensors that they give
    are not checked. Differences after the header are in the report.

    Raises: OSError; FileFault for a file that is not a checkpoint, whose header differs from its
    plan's, or that changes meanwhile.
    """
    with ExitStack() as stack:
        opened = open_checkpoint(path, stack)
        plan = opened.plan
        blob_files = blobs or LocalBlobs()
        elsewhere = _bound_elsewhere(plan)
        lacking = elsewhere or _lacking(plan, blob_files)
        replanned = None if lacking else stack.enter_context(replanning(plan, blob_files))
        given = replanned.result() if replanned and comparison.needs_bytes(plan) else Replanned()
        with opened.sources[0].named():
            means = Means.of(
                *(plan, given.blobs, given.materialized),
                blob_files=blob_files,
                unbound=lacking
                or given.failure
                or "the installed libraries make another plan of its spec",
                max_digested_bytes=MAX_SAMPLED_LITERAL_BYTES if sample else None,
            )
        evaluator = Evaluator(
            *(plan, given.blobs, given.materialized),
            draws=draws_on(device),
            blob_files=blob_files,
        )
        checker = Checker(opened, evaluator, means, sample)
        with progress(sum(map(checker.size_bytes, checker.work()))) as advance:
            checker.run(threads, advance)
        for source in opened.sources:
            source.check_unchanged()
        same, remark = _today(plan, replanned)
        remark = "it is bound to another platform" if elsewhere else lacking or remark
        return checker.report(same, remark)


class Checker:
    """Comparison of one checkpoint's files with their plan, as far as `means` allow."""

    def __init__(
        self, opened: Opened, evaluator: Evaluator, means: Means, sample: Sample | None
    ) -> None:
        self.opened = opened
        self.plan = opened.plan
        self.evaluator = evaluator
        self.means = means
        self.sample = sample
        self.checked_bytes = 0
        self.differences: dict[tuple[int, str], Difference] = {}
        self._scratch = threading.local()

    def work(self) -> Iterator[Block | DigestCheck]:
        """Yield the jobs in the order of the bytes."""
        size = JOB_BLOCKS * self.evaluator.block_elements
        return comparison.work(self.opened.files, self.plan, self.means, self.sample, size)

    def size_bytes(self, item: Block | DigestCheck) -> int:
        """Return the number of bytes that `item` compares."""
        tensor = self.plan.tensors[item.entry.tensor]
        if isinstance(item, DigestCheck):
            return tensor.nbytes
        return tensor.dtype.nbytes(item.stop - item.start)

    def run(self, threads: int, advance: Callable[[int], object]) -> None:
        """Do all work on `threads` threads; after a difference, skip the rest of the tensor."""
        under_way: deque[Future[Outcome]] = deque()
        with ThreadPoolExecutor(threads) as executor:
            try:
                for item in self.work():
                    under_way.append(executor.submit(self._check, item))
                    if len(under_way) > 2 * threads:
                        self._note(under_way.popleft().result(), advance)
                while under_way:
                    self._note(under_way.popleft().result(), advance)
            finally:
                for future in under_way:
                    future.cancel()

    def report(self, same_plan: bool | None, remark: str | None) -> Report:
        """Return the findings."""
        opened, tensors = self.opened, self.plan.tensors
        return Report(
            id=self.plan.id,
            files={str(source.path): source.size_bytes for source in opened.sources},
            total_bytes=sum(file.size_bytes - len(file.head) for file in opened.files),
            checked_bytes=self.checked_bytes,
            sample=self.sample,
            differences=tuple(self.differences.values()),
            unchecked={tensors[n].name: reason for n, reason in self.means.hindered.items()},
            same_plan=same_plan,
            remark=remark,
        )

    def _note(self, outcome: Outcome, advance: Callable[[int], object]) -> None:
        """Record an outcome. Outcomes come in the order of the work; a tensor keeps its first."""
        item, compared_bytes, difference = outcome
        self.checked_bytes += compared_bytes
        if difference is not None:
            self.differences.setdefault((item.file, item.entry.name), difference)
        advance(self.size_bytes(item))

    def _check(self, item: Block | DigestCheck) -> Outcome:
        if (item.file, item.entry.name) in self.differences:
            return item, 0, None
        difference = self._whole(item) if isinstance(item, DigestCheck) else self._block(item)
        return item, self.size_bytes(item), difference

    def _block(self, block: Block) -> Difference | None:
        entry, source = block.entry, self.opened.sources[block.file]
        tensor = self.plan.tensors[entry.tensor]
        dtype, step = tensor.dtype, self.evaluator.block_elements
        for start in range(block.start, block.stop, step):
            stop = min(start + step, block.stop)
            found, expected = self._buffers(dtype.nbytes(stop - start))
            source.read(entry.start_byte + dtype.nbytes(start), found)
            self.evaluator.fill(entry.tensor, start, stop, expected)
            at = comparison.first_difference(found, expected, dtype)
            if at is not None:
                element = start + at
                return Difference(
                    *(str(source.path), entry.name, dtype),
                    offset=entry.start_byte + dtype.nbytes(element),
                    element=element,
                    index=tuple(map(int, np.unravel_index(element, tensor.shape))),
                    expected=comparison.element(expected, at, dtype),
                    found=comparison.element(found, at, dtype),
                )
        return None

    def _whole(self, whole: DigestCheck) -> Difference | None:
        entry, source = whole.entry, self.opened.sources[whole.file]
        digest = hashlib.sha256()
        for start in range(entry.start_byte, entry.stop_byte, PIECE_BYTES):
            found, _ = self._buffers(min(PIECE_BYTES, entry.stop_byte - start))
            source.read(start, found)
            digest.update(found.data)
        if digest.hexdigest() == whole.sha256:
            return None
        dtype = self.plan.tensors[entry.tensor].dtype
        return Difference(str(source.path), entry.name, dtype, entry.start_byte)

    def _buffers(self, size: int) -> tuple[ByteArray, ByteArray]:
        """Return two buffers of this thread's scratch memory, of `size` bytes each."""
        buffers: ByteArray | None = getattr(self._scratch, "buffers", None)
        if buffers is None or buffers.shape[1] < size:
            buffers = self._scratch.buffers = np.empty((2, -(-size // 64) * 64), np.uint8)
        return buffers[0, :size], buffers[1, :size]


def _bound_elsewhere(plan: Plan) -> str | None:
    """Return why this host cannot make a platform-bound plan's bytes; None if it can."""
    try:
        check_platform(plan)
    except PlatformMismatch:
        made_by = shown(dict(plan.platform or {}))
        return f"it was made by {made_by} and can be made only there; this host is {platform()}"
    return None


def _lacking(plan: Plan, blobs: LocalBlobs) -> str | None:
    """Return which blob is not given, without which the spec cannot be planned; None if all are."""
    missing = sorted(name for name in blobs_named(plan) if name not in blobs)
    return f"blob {missing[0]} is not given (--blob FILE)" if missing else None


def _today(plan: Plan, replanned: Future[Replanned] | None) -> tuple[bool | None, str | None]:
    """Return whether the installed libraries plan the same (None: unknown), and the difference."""
    if replanned is None:
        return None, None
    today = replanned.result()
    if today.refusal is not None:
        return False, f"they refuse its spec: {today.refusal}"
    if today.plan is None:
        return None, today.failure
    difference = comparison.plan_difference(today.plan, plan)
    return difference is None, difference
