"""`seedpoint serve | build | plan`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from service.flags import with_settings
from service.settings import Settings

EXIT_CODES = """
Exit codes: 0 done; 1 a fault of Seedpoint's own; 2 wrong usage; 3 a spec that cannot be issued,
each fault with its path on standard error; 4 a checkpoint bound to another platform; 5 a file that
cannot be read or written.
"""
SPEC_FAULT, PLATFORM, FILE_FAULT = 3, 4, 5

app = typer.Typer(
    name="seedpoint",
    help="Issues initialized checkpoints: a JSON spec in, safetensors files out.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="A file with the spec; - is stdin.")]
Seed = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--seed", help="Takes the place of the spec's init.seed."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, no table.")]


@app.command(epilog=EXIT_CODES)
@with_settings
def serve(settings: Settings) -> None:
    """Run the service until it is told to stop."""
    from service.app import serve as run

    run(settings)


@app.command(epilog=EXIT_CODES)
def plan(spec: Spec, seed: Seed = None, as_json: AsJson = False) -> None:
    """Show each tensor, its rule, resolved arguments, fans and expected std; generate nothing."""
    from models.describe import layout, resource
    from service.tables import plan_table

    with faults_as_exit_codes():
        planned = _planned(_document(spec, seed)).plan
        document = resource(planned, layout(planned))
    if as_json:
        _print_json(document)
        return
    console = _console()
    console.print(plan_table(document))
    console.print(f"id {document['id']}")
    _print_warnings(document)


@app.command(epilog=EXIT_CODES)
def build(
    spec: Spec,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The file to write, or a directory that takes the files under their own names.",
        ),
    ],
    seed: Seed = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where elements are generated.")
    ] = "auto",
    threads: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, help="Threads that generate; the number of CPUs by default."),
    ] = None,
    statistics: Annotated[bool, typer.Option(help="Gather statistics and show them.")] = True,
    as_json: AsJson = False,
) -> None:
    """Write a spec's checkpoint to files, without a server."""
    from models.statistics import CheckpointStatistics
    from service.local import Writer
    from service.tables import statistics_table

    with faults_as_exit_codes():
        evaluator, files, document = _evaluator(_document(spec, seed), device)
        gathered = CheckpointStatistics(evaluator.plan) if statistics else None
        writer = Writer(evaluator, gathered)
        targets = _targets(list(files), output)
        with _progress(sum(file.size_bytes for file in files.values()), quiet=as_json) as advance:
            for name, path in targets.items():
                count = threads or os.cpu_count() or 1
                writer.write(files[name], path, threads=count, wrote=advance)
    found = None if gathered is None else gathered.document()
    if as_json:
        _print_json(document | ({} if found is None else {"statistics": found}))
        return
    console = _console()
    if found is not None:
        console.print(statistics_table(document, found))
    for path in targets.values():
        console.print(f"{path} ({path.stat().st_size:,} bytes)", highlight=False)
    _print_warnings(document)


def main() -> None:
    """The console script."""
    app()


@contextmanager
def faults_as_exit_codes() -> Iterator[None]:
    """What a caller did wrong, told on standard error, as an exit code."""
    from models.errors import PlatformMismatch, SpecError

    try:
        yield
    except SpecError as error:
        for fault in error.faults:
            typer.echo(f"{fault.path or 'spec'}: {fault.message}", err=True)
        raise typer.Exit(SPEC_FAULT) from None
    except PlatformMismatch as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(PLATFORM) from None
    except OSError as error:
        typer.echo(f"{error.filename or 'file'}: {error.strerror}", err=True)
        raise typer.Exit(FILE_FAULT) from None


def _document(spec: str, seed: int | None) -> Any:
    """The spec as JSON; raises OSError and SpecError."""
    from models.errors import SpecError

    text = sys.stdin.buffer.read() if spec == "-" else Path(spec).read_bytes()
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError.at("", f"not JSON: {error}") from None
    if seed is not None and isinstance(document, dict):
        init = document.get("init", {})
        document = document | {"init": init | {"seed": seed} if isinstance(init, dict) else init}
    return document


def _planned(document: Any) -> Any:
    from models.compile import make_plan
    from models.materialize import platform
    from models.spec import parse_spec

    return make_plan(parse_spec(document), platform=platform())


def _evaluator(document: Any, device: str) -> tuple[Any, Any, dict[str, Any]]:
    """What generates the checkpoint of a spec, its files by name, and its resource."""
    from models.describe import layout, resource
    from models.generate import Evaluator
    from models.materialize import materialized
    from models.spec import parse_spec
    from service.devices import resolve_device

    planned = _planned(document)
    given = materialized(parse_spec(document), planned) if planned.plan.platform else {}
    found = layout(planned.plan)
    evaluator = Evaluator(planned.plan, planned.blobs, given, device=resolve_device(device))
    return evaluator, found.files, resource(planned.plan, found)


def _targets(names: list[str], output: Path) -> dict[str, Path]:
    """Where each file goes: a directory takes all, a file name only one."""
    if output.is_dir() or len(names) > 1 or str(output).endswith(os.sep):
        output.mkdir(parents=True, exist_ok=True)
        return {name: output / name for name in names}
    output.parent.mkdir(parents=True, exist_ok=True)
    return {names[0]: output}


@contextmanager
def _progress(total_bytes: int, *, quiet: bool) -> Iterator[Any]:
    columns = (
        TextColumn("generating"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("", total=total_bytes)
        yield lambda count: bar.advance(task, count)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 160, soft_wrap=not sys.stdout.isatty())


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def _print_warnings(document: dict[str, Any]) -> None:
    for warning in document["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
