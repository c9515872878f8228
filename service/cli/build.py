"""Command `seedpoint build`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from seedpoint.service import devices
from seedpoint.service.cli.exit_codes import WRONG_USAGE, ending_well, faults_as_exit_codes
from seedpoint.service.cli.specs import Seed, Spec, planned, read_document
from seedpoint.service.cli.terminal import (
    AsJson,
    complain,
    console,
    print_about,
    print_json,
    print_warnings,
    progress,
    room,
)

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
    device: Device = "auto",
    threads: Threads = None,
    statistics: Annotated[bool, typer.Option(help="Compute statistics and show them.")] = True,
    as_json: AsJson = False,
) -> None:
    """Write the checkpoint of a spec to files, without a server."""
    from seedpoint.models.statistics.checkpoint import CheckpointStatistics
    from seedpoint.service.cli.tables import plain, statistics_table
    from seedpoint.service.local.build import Writer

    with ending_well(), faults_as_exit_codes():
        evaluator, files, document = _evaluator(read_document(spec, seed), device)
        blobs = evaluator.sources.blobs
        gathered = CheckpointStatistics(evaluator.plan, blobs) if statistics else None
        writer = Writer(evaluator, gathered)
        targets = _targets(list(files), output)
        total_bytes = sum(file.size_bytes for file in files.values())
        with progress(total_bytes, doing="generating", quiet=as_json) as advance:
            for name, path in targets.items():
                count = threads or os.cpu_count() or 1
                writer.write(files[name], path, threads=count, wrote=advance)
    found = None if gathered is None else gathered.document()
    if as_json:
        print_json(document | ({} if found is None else {"statistics": found}))
        return
    shown = console()
    if found is not None:
        shown.print(statistics_table(document, found, room(shown)))
    print_about(document)
    for path in targets.values():
        shown.print(plain(f"{path} ({path.stat().st_size:,} bytes)"))
    print_warnings(document)


def _evaluator(document: Any, device: str) -> tuple[Any, Any, dict[str, Any]]:
    """Return a spec's evaluator, its files by name, and its resource."""
    from seedpoint.models.files.layout import layout
    from seedpoint.models.generation.evaluator import Evaluator
    from seedpoint.models.generation.sources import draws_on
    from seedpoint.models.planning.sequential import materialized
    from seedpoint.models.spec.schema import parse_spec
    from seedpoint.models.statistics.describe import resource
    from seedpoint.service.api.links import Links
    from seedpoint.service.devices import resolve_device
    from seedpoint.service.planning.sandbox import guarded

    made = planned(document)
    given = {}
    if made.plan.platform:
        with guarded(document):
            given = materialized(parse_spec(document), made)
    found = layout(made.plan)
    draws = draws_on(resolve_device(device))
    evaluator = Evaluator(made.plan, made.blobs, given, draws=draws)
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
