"""Checkpoint in this process: planned from a spec, read by range, written to files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seedpoint.models.files.blobs import NO_BLOBS, Blobs
from seedpoint.models.files.layout import Layout, layout
from seedpoint.models.generation.device_draws import draws_on
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.planning.sequential import materialized, platform
from seedpoint.models.ranks.plan_source import PlanSource
from seedpoint.models.spec.schema import Spec, parse_spec
from seedpoint.models.verify.findings import Report, Sample
from seedpoint.service.devices import Device, resolve_device

if TYPE_CHECKING:
    from seedpoint.service.local.blob_files import LocalBlobs


class Checkpoint:
    """Planned checkpoint: an id, its files, and any byte of them.

    Planning is cheap and generates no values. Reads may come from many threads at once; the bytes
    do not depend on the device, the thread count or the ranges that are read.
    """

    def __init__(
        self, spec: Spec, planned: Planned, *, device: Device = "cpu", blobs: Blobs = NO_BLOBS
    ) -> None:
        self._spec = spec
        self._planned = planned
        self._device = device
        self._blobs = blobs

    @classmethod
    def from_spec(
        cls,
        spec: Spec | Mapping[str, Any],
        *,
        device: Device = "cpu",
        blobs: Iterable[str | os.PathLike[str]] = (),
    ) -> Checkpoint:
        """Plan `spec`, a JSON document or a result of `parse_spec`.

        `blobs` are the safetensors files that it names by SHA-256 (`values` with a `file`). Each is
        read once for its SHA-256, stays open, and must not change.

        Raises:
            SpecError: The spec has faults; the error names the place of each.
            OSError: A blob cannot be read.
        """
        parsed = spec if isinstance(spec, Spec) else parse_spec(dict(spec))
        found = _opened(blobs)
        planned = make_plan(parsed, platform=platform(), blobs=found)
        return cls(parsed, planned, device=device, blobs=found)

    @property
    def id(self) -> str:
        """SHA-256 of the plan in hexadecimal digits."""
        return self.plan.id

    @property
    def plan(self) -> Plan:
        """Plan, which fixes every byte of every file."""
        return self._planned.plan

    @cached_property
    def files(self) -> Mapping[str, int]:
        """Size in bytes of each file, by its name."""
        return {name: file.size_bytes for name, file in self._layout.files.items()}

    def read(self, file: str, start: int = 0, stop: int | None = None) -> bytes:
        """Return bytes [start, stop) of the file called `file`; `stop` defaults to its end.

        Raises:
            KeyError: The name is not in `files`.
            ValueError: The range is not inside the file.
        """
        found = self._layout.files[file]
        stop = found.size_bytes if stop is None else stop
        if not 0 <= start <= stop <= found.size_bytes:
            raise ValueError(
                f"range [{start}, {stop}) is not inside the {found.size_bytes} bytes of {file!r}"
            )
        out = np.empty(stop - start, np.uint8)
        self._evaluator.read(found, start, stop, out)
        return out.tobytes()

    def write(self, folder: str | os.PathLike[str], *, threads: int | None = None) -> list[Path]:
        """Write every file into `folder`, which is created if missing, and return their paths.

        A file appears whole or not at all. `threads` defaults to the number of cores.
        """
        from seedpoint.service.local.build import Writer

        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        writer = Writer(self._evaluator, statistics=None)
        for name, file in self._layout.files.items():
            writer.write(file, target / name, threads=_threads(threads), wrote=_ignore)
        return [target / name for name in self._layout.files]

    @cached_property
    def source(self) -> PlanSource:
        """Plan with all that its evaluation needs, for `load_into`."""
        return PlanSource(self.plan, self._spec, self._planned)

    @cached_property
    def _layout(self) -> Layout:
        return layout(self.plan)

    @cached_property
    def _evaluator(self) -> Evaluator:
        blobs, draws = self._blobs, draws_on(resolve_device(self._device))
        given = materialized(self._spec, self._planned, blobs) if self.plan.platform else {}
        return Evaluator(self.plan, self._planned.blobs, given, draws=draws, blob_files=blobs)


def verify(
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    device: Device = "cpu",
    sample: Sample | None = None,
    blobs: Iterable[str | os.PathLike[str]] = (),
) -> Report:
    """Generate the files at `path` again from the plan in their header, and compare.

    `path` is a file, the first of its shards, their index or their folder. `sample` limits the
    comparison to some blocks. `blobs` are the files that the spec names by SHA-256; without them,
    the tensors that they give are not checked. A script that calls this function needs the
    `__main__` guard that `multiprocessing` asks for, because the spec in the header is planned in a
    separate process.

    Raises:
        FileFault: The file is not a checkpoint.
        OSError: The file cannot be read.
    """
    from seedpoint.service.local.verify import verify as compare

    return compare(
        Path(path),
        threads=_threads(threads),
        progress=lambda _: nullcontext(_ignore),
        device=resolve_device(device),
        sample=sample,
        blobs=_opened(blobs),
    )


def _opened(blobs: Iterable[str | os.PathLike[str]]) -> LocalBlobs:
    from seedpoint.service.local.blob_files import LocalBlobs

    return LocalBlobs.of(map(Path, blobs))


def _threads(wanted: int | None) -> int:
    return wanted or os.cpu_count() or 1


def _ignore(_: int) -> None:
    """Ignore the bytes done, for callers that show no progress."""
