"""Filling of memory with elements of a plan, piece by piece on threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from seedpoint.models.generation.device_draws import Draws, draws_on
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.generation.parts import Part, each_run, fill_part
from seedpoint.models.generation.whole_tensors import Wholes
from seedpoint.models.ranks.plan_source import PlanSource
from seedpoint.models.stream.parallel import Each, helped
from seedpoint.models.stream.used_kernels import used_kernels

PIECE_ELEMENTS = 1 << 20
"""Elements that a thread fills at a time: milliseconds of work, and the size of its scratch."""

SPAN_ELEMENTS = 1 << 22
"""Elements that a GPU generates at a time when it picks short runs from them."""

SHORT_RUN_ELEMENTS = 1 << 14
"""Below this length a GPU's kernels take longer to start than to run."""

Advance = Callable[[int], object]
"""Function that is told the number of bytes just filled; called from any thread."""


@dataclass(frozen=True, slots=True)
class Job:
    """Memory to fill: the elements `part` of tensor number `tensor` go to `out`.

    `out` has the shape of `part`, on any device, of any strides, and of any floating dtype if the
    tensor has one; otherwise of the tensor's dtype.
    """

    tensor: int
    part: Part
    out: torch.Tensor

    @property
    def nbytes(self) -> int:
        """Size of `out` in bytes."""
        return self.out.numel() * self.out.element_size()


def kernels(source: PlanSource, jobs: Iterable[Job]) -> frozenset[str]:
    """Return the names of the CPU kernels that `fill` uses for `jobs` (`compile_kernel`)."""
    tensors = {job.tensor for job in jobs if job.out.numel() and _generator(job) == "cpu"}
    found = (source.plan.tensors[number] for number in tensors)
    return frozenset().union(*(used_kernels(tensor.program, tensor.dtype) for tensor in found))


def fill(
    source: PlanSource,
    jobs: Sequence[Job],
    *,
    threads: int,
    advance: Advance,
    draws: Callable[[str], Draws] = draws_on,
) -> None:
    """Fill the memory of every job; `draws` gives the implementation of the stream on a device.

    Beside that memory it takes a scratch piece for each thread, and one tensor at a time: the
    whole of an orthogonal or sparse one, or a copy of memory that is not contiguous.
    """
    jobs = [job for job in jobs if job.out.numel()]
    for job in jobs:
        tensor = source.plan.tensors[job.tensor]
        if tensor.dtype.per_item > 1:
            raise ValueError(f"'{tensor.name}' is {tensor.dtype}; load it from the file")
    with ThreadPoolExecutor(threads) as executor, torch.no_grad():
        each = helped(executor, threads)
        for device in dict.fromkeys(map(_generator, jobs)):
            filler = _Filler(source, draws(device), each, advance)
            filler.fill([job for job in jobs if _generator(job) == device])


def _part(
    evaluator: Evaluator, tensor: int, part: Part, start: int, stop: int, out: torch.Tensor
) -> None:
    """Write elements [start, stop) of `part` to `out`, a vector of the tensor's dtype.

    This is the only place where windows and slices are evaluated.
    """
    if out.device.type == "cpu":
        fill_part(evaluator, tensor, part, start, stop, out.view(torch.uint8).numpy())
        return
    at = 0
    for first, last in each_run(part, start, stop):
        evaluator.fill_tensor(tensor, first, out[at : at + last - first])
        at += last - first


class _Filler:
    """Evaluation of one source on one device."""

    def __init__(self, source: PlanSource, draws: Draws, each: Each, advance: Advance) -> None:
        self._source = source
        self._draws = draws
        self._device = draws.device
        self._in_host_memory = draws.staging is None
        self._each = each
        self._advance = advance
        self._evaluator = source.evaluator(draws=draws)

    def fill(self, jobs: Sequence[Job]) -> None:
        """Fill the memory of every job."""
        if not self._in_host_memory:
            current = (
                torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()
            )
            with current:
                for job in jobs:
                    self._fill_alone(job)
            return
        shared = [job for job in jobs if job.out.is_contiguous() and not self._needs_whole(job)]
        self._fill_together(shared)
        done = set(map(id, shared))
        for job in jobs:
            if id(job) not in done:
                self._fill_alone(job)

    def _fill_together(self, jobs: Sequence[Job]) -> None:
        """Fill jobs in memory that is contiguous, all their pieces on all threads."""
        pieces = [(job, start, stop) for job in jobs for start, stop in _pieces(job)]

        def work(number: int) -> None:
            job, start, stop = pieces[number]
            self._piece(self._evaluator, job, start, stop, job.out.view(-1)[start:stop])

        self._each(work, range(len(pieces)))

    def _fill_alone(self, job: Job) -> None:
        """Fill one job, whose whole tensors are computed on all threads and then forgotten."""
        whole = self._needs_whole(job)
        evaluator = self._evaluator
        if whole:
            evaluator = self._source.evaluator(draws=self._draws, wholes=Wholes(each=self._each))
        plain = job.out.is_contiguous()
        out = job.out if plain else torch.empty_like(job.out, memory_format=torch.contiguous_format)
        pieces = list(_pieces(job))

        def work(number: int) -> None:
            start, stop = pieces[number]
            self._piece(evaluator, job, start, stop, out.view(-1)[start:stop])

        if whole or not self._in_host_memory:
            for number in range(len(pieces)):
                work(number)
        else:
            self._each(work, range(len(pieces)))
        if not plain:
            job.out.copy_(out)

    def _needs_whole(self, job: Job) -> bool:
        tensor = self._source.plan.tensors[job.tensor]
        return bool(self._evaluator.whole_tensors_of_elements(job.tensor, 0, tensor.numel))

    def _piece(
        self, evaluator: Evaluator, job: Job, start: int, stop: int, out: torch.Tensor
    ) -> None:
        """Fill one piece in place if `out` has the tensor's dtype, else through scratch."""
        dtype = self._source.plan.tensors[job.tensor].dtype.torch
        direct = out.dtype == dtype and out.device.type == self._device.type
        values = out if direct else torch.empty(stop - start, dtype=dtype, device=self._device)
        if not self._in_host_memory and _has_short_runs(job.part):
            _fill_spans(evaluator, job, start, stop, values)
        else:
            _part(evaluator, job.tensor, job.part, start, stop, values)
        if not direct:
            out.copy_(values)
        self._advance(out.numel() * out.element_size())


def _pieces(job: Job) -> Iterator[tuple[int, int]]:
    for start in range(0, job.out.numel(), PIECE_ELEMENTS):
        yield start, min(start + PIECE_ELEMENTS, job.out.numel())


def _generator(job: Job) -> str:
    """Return the device that generates the job's elements: a GPU for its own memory."""
    return str(job.out.device) if job.out.device.type == "cuda" else "cpu"


def _has_short_runs(part: Part) -> bool:
    first, last = next(each_run(part, 0, part.numel))
    return last - first < min(SHORT_RUN_ELEMENTS, part.numel)


def _fill_spans(evaluator: Evaluator, job: Job, start: int, stop: int, out: torch.Tensor) -> None:
    """Generate all elements between the first and the last of some runs, and pick the runs.

    A call for each short run would take longer, although this computes what lies between them too.
    """
    at, waiting = 0, list[tuple[int, int]]()
    for run in each_run(job.part, start, stop):
        if (waiting and run[1] - waiting[0][0] > SPAN_ELEMENTS) or (waiting and run < waiting[-1]):
            at = _pick(evaluator, job.tensor, waiting, out, at)
            waiting = []
        waiting.append(run)
    _pick(evaluator, job.tensor, waiting, out, at)


def _pick(
    evaluator: Evaluator, tensor: int, runs: Sequence[tuple[int, int]], out: torch.Tensor, at: int
) -> int:
    """Write the elements of some ascending runs to `out` from `at` on; return the next place."""
    first, last = runs[0][0], runs[-1][1]
    values = out.new_empty(last - first)
    evaluator.fill_tensor(tensor, first, values)
    ends = np.asarray(runs) - first
    lengths = ends[:, 1] - ends[:, 0]
    steps = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    places = torch.from_numpy(np.repeat(ends[:, 0], lengths) + steps).to(out.device)
    torch.index_select(values, 0, places, out=out[at : at + len(places)])
    return at + len(places)
