"""Command `seedpoint build`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from seedpoint.service import devices
from seedpoint.service.cli.exit_codes import WRONG_USAGE, ending_well, faults_as_exit_codes
from seedpoint.service.cli.specs import Blobs, Seed, Spec, opened, planned, read_document
from seedpoint.service.cli.terminal import (
    AsJson,
    complain,
    console,
    print_json,
    print_warnings,
    progress,
    room,
)

if TYPE_CHECKING:
    from seedpoint.models.files.dcp.grid import Grid
    from seedpoint.models.files.layout import File
    from seedpoint.models.generation.evaluator import Evaluator
    from seedpoint.models.statistics.checkpoint import CheckpointStatistics
    from seedpoint.service.local.blob_files import LocalBlobs

Layout = Annotated[
    Literal["safetensors", "dcp"],
    typer.Option(
        help="Files to write: those of the checkpoint, or a directory that "
        "torch.distributed.checkpoint loads, in chunks.",
    ),
]
GridText = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--grid",
        metavar="ROWSxCOLUMNS",
        help="Chunks of each tensor with --layout dcp, such as 8x8; by default as many as keep "
        "1 MiB or more.",
    ),
]
Device = Annotated[devices.Device, typer.Option(help="Device that generates the elements.")]
Threads = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(min=1, help="Threads that generate; the number of CPUs by default."),
]


def build(
    spec: Spec,
    output: Annotated[
        str,  # A Path would drop the trailing slash, which marks a directory.
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="File to write, or a directory for the files under their own names.",
        ),
    ],
    seed: Seed = None,
    blob: Blobs = None,
    device: Device = "auto",
    threads: Threads = None,
    layout: Layout = "safetensors",
    grid: GridText = None,
    statistics: Annotated[bool, typer.Option(help="Compute statistics and show them.")] = True,
    as_json: AsJson = False,
) -> None:
    """Write the checkpoint of a spec to files, without a server."""
    from seedpoint.models.statistics.checkpoint import CheckpointStatistics
    from seedpoint.service.cli.tables import plain, statistics_table

    chosen = _grid(grid, layout)
    with ending_well(), faults_as_exit_codes():
        evaluator, files, document = _evaluator(read_document(spec, seed), device, opened(blob))
        sources = evaluator.sources
        gathered = (
            CheckpointStatistics(evaluator.plan, sources.blobs, sources.blob_files)
            if statistics
            else None
        )
        count = threads or os.cpu_count() or 1
        if layout == "dcp":
            paths = _write_dcp(evaluator, gathered, chosen, output, count, quiet=as_json)
        else:
            paths = _write_files(evaluator, gathered, files, output, count, quiet=as_json)
    found = None if gathered is None else gathered.document()
    if as_json:
        print_json(document | ({} if found is None else {"statistics": found}))
        return
    shown = console()
    if found is not None:
        shown.print(statistics_table(document, found, room(shown)))
    for path in paths:
        shown.print(plain(f"{path} ({path.stat().st_size:,} bytes)"))
    print_warnings(document)


def _grid(text: str | None, layout: str) -> Grid | None:
    """Return the grid of the flag `--grid`."""
    from seedpoint.models.files.dcp.grid import Grid, GridError

    if text is None:
        return None
    if layout != "dcp":
        raise typer.BadParameter("only --layout dcp has a grid", param_hint="--grid")
    try:
        grid = Grid.parse(text)
    except GridError as error:
        raise typer.BadParameter(str(error), param_hint="--grid") from None
    if grid is None:
        raise typer.BadParameter(f"{text!r} is no grid such as 8x8", param_hint="--grid")
    return grid


def _write_files(
    evaluator: Evaluator,
    statistics: CheckpointStatistics | None,
    files: Mapping[str, File],
    output: str,
    threads: int,
    *,
    quiet: bool,
) -> list[Path]:
    """Write the files of the checkpoint; return their paths."""
    from seedpoint.service.local.build import Writer

    writer = Writer(evaluator, statistics)
    targets = _targets(list(files), output)
    total_bytes = sum(file.size_bytes for file in files.values())
    with progress(total_bytes, doing="generating", quiet=quiet) as advance:
        for name, path in targets.items():
            writer.write(files[name], path, threads=threads, wrote=advance)
    return list(targets.values())


def _write_dcp(
    evaluator: Evaluator,
    statistics: CheckpointStatistics | None,
    grid: Grid | None,
    output: str,
    threads: int,
    *,
    quiet: bool,
) -> list[Path]:
    """Write a DCP directory; return the path of its `.metadata`."""
    from seedpoint.models.files.dcp.directory import METADATA, DcpDirectory
    from seedpoint.models.files.dcp.grid import GridError
    from seedpoint.service.local.dcp import DirectoryWriter

    try:
        directory = DcpDirectory(evaluator.plan.tensors, grid=grid)
    except GridError as error:
        raise typer.BadParameter(str(error), param_hint="--grid") from None
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    writer = DirectoryWriter(evaluator, directory, threads=threads)
    seen_bytes = 0 if statistics is None else statistics.seen_bytes
    total_bytes = directory.size_bytes + seen_bytes
    with progress(total_bytes, doing="generating", quiet=quiet) as advance:
        writer.write(folder, wrote=advance)
        if statistics is not None:
            writer.observe(statistics, wrote=advance)
    return [folder / METADATA]


def _evaluator(document: Any, device: str, blobs: LocalBlobs) -> tuple[Any, Any, dict[str, Any]]:
    """Return a spec's evaluator, its files by name, and its resource."""
    from seedpoint.models.files.layout import layout
    from seedpoint.models.generation.device_draws import draws_on
    from seedpoint.models.generation.evaluator import Evaluator
    from seedpoint.models.planning.sequential import materialized
    from seedpoint.models.spec.schema import parse_spec
    from seedpoint.models.statistics.describe import resource
    from seedpoint.service.api.links import Links
    from seedpoint.service.devices import resolve_device
    from seedpoint.service.planning.sandbox import guarded

    made = planned(document, blobs)
    given = {}
    if made.plan.platform:
        with guarded(document):
            given = materialized(parse_spec(document), made, blobs)
    found = layout(made.plan)
    draws = draws_on(resolve_device(device))
    evaluator = Evaluator(made.plan, made.blobs, given, draws=draws, blob_files=blobs)
    links = Links().of_checkpoint(made.plan.id, found.files)
    return evaluator, found.files, resource(made.plan, links)


def _targets(names: list[str], given: str) -> dict[str, Path]:
    """Return the path of each file: a directory takes all files, a file name only one."""
    from seedpoint.models.files.layout import SUFFIX

    output = Path(given)
    is_folder = output.is_dir() or given.endswith(os.sep)
    if len(names) > 1 and not is_folder and output.suffix == SUFFIX:
        complain(f"the checkpoint is {len(names)} files; give a directory (-o {given}/)")
        raise typer.Exit(WRONG_USAGE)
    if is_folder or len(names) > 1:
        output.mkdir(parents=True, exist_ok=True)
        return {name: output / name for name in names}
    output.parent.mkdir(parents=True, exist_ok=True)
    return {names[0]: output}
