"""Command `seedpoint verify`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from seedpoint.service.cli.build import Device, Threads
from seedpoint.service.cli.exit_codes import (
    NOT_GENUINE,
    PLATFORM,
    ending_well,
    faults_as_exit_codes,
)
from seedpoint.service.cli.specs import Blobs, opened
from seedpoint.service.cli.terminal import AsJson, print_json, progress
from seedpoint.service.report.formatting import printable

if TYPE_CHECKING:
    from seedpoint.models.verify.findings import Report

SHOWN = 8  # Differences, and names of unchecked tensors, that are printed.


def verify(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Safetensors file, the first shard of several, their index, or their directory.",
        ),
    ],
    sample: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            min=1,
            metavar="N",
            help="Check only N random blocks of 65,536 elements.",
        ),
    ] = None,
    seed_of_sample: Annotated[
        int, typer.Option(min=0, metavar="K", help="Seed of the choice of blocks.")
    ] = 0,
    blob: Blobs = None,
    threads: Threads = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Generate every byte of files again and compare.

    This shows that the files match their own header. The writer of a file chooses its header,
    so also compare the id with the one that was issued to you.
    """
    from seedpoint.service.workers import forkserver

    forkserver.start()

    from seedpoint.models.verify.findings import Sample
    from seedpoint.service.devices import resolve_device
    from seedpoint.service.local.verify import verify as run

    with ending_well(), faults_as_exit_codes():
        report = run(
            file,
            threads=threads or os.cpu_count() or 1,
            progress=partial(progress, doing="checking", quiet=as_json),
            device=resolve_device(device),
            sample=None if sample is None else Sample(sample, seed_of_sample),
            blobs=opened(blob),
        )
    if as_json:
        print_json(report.document())
    else:
        for line in _lines(report):
            typer.echo(printable(line))
    if report.verdict in EXITS:
        raise typer.Exit(EXITS[report.verdict])


EXITS = {"differs": NOT_GENUINE, "incomplete": PLATFORM}


def _lines(report: Report) -> Iterator[str]:
    yield f"checkpoint {report.id}"
    yield _verdict(report)
    for difference in report.differences[:SHOWN]:
        yield f"  {difference}"
    if (more := len(report.differences) - SHOWN) > 0:
        yield f"  and {more} more tensors"
    for reason, names in _by_reason(report).items():
        more_names = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield f"not checked: {', '.join(map(repr, names[:SHOWN]))}{more_names}; {reason}"
    yield _today(report)


def _verdict(report: Report) -> str:
    checked = f"{report.checked_bytes:,} of {report.total_bytes:,} bytes"
    match report.verdict:
        case "verified":
            files = f"{len(report.files)} file{'s' if len(report.files) > 1 else ''}"
            return f"verified: all {report.total_bytes:,} bytes of {files} are what the header says"
        case "differs":
            count = len(report.differences)
            tensors = "tensor is" if count == 1 else "tensors are"
            return f"differs: {count} {tensors} not what the header says; {checked} were compared"
        case _:
            sampled = report.sample and f" in a sample of {report.sample.count} blocks"
            return f"{report.verdict}: no difference in {checked}{sampled or ''}"


def _by_reason(report: Report) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, reason in report.unchecked.items():
        found.setdefault(reason, []).append(name)
    return found


def _today(report: Report) -> str:
    match report.same_plan:
        case True:
            return "the installed libraries make the same plan"
        case False:
            return f"the installed libraries make another plan: {report.remark}"
        case None:
            return f"unknown if the installed libraries make the same plan: {report.remark}"
