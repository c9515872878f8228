"""Specs given on the command line: a preset's name, a file or standard input."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from seedpoint.service.cli.terminal import complain

if TYPE_CHECKING:
    from seedpoint.models.planning.compiler import Planned
    from seedpoint.service.local.blob_files import LocalBlobs

SUFFIX = ".json"

# For the help; after \b, click does not join lines.
EXAMPLE = """\b
A spec:
  {"architecture": {"type": "Sequential", "layers": {
     "fc1": {"type": "Linear", "in_features": 784, "out_features": 256},
     "relu": {"type": "ReLU"},
     "fc2": {"type": "Linear", "in_features": 256, "out_features": 10}}},
   "init": {"seed": 42, "rules": [
     {"match": "**.weight",
      "initializer": {"type": "kaiming_normal", "nonlinearity": "relu"}},
     {"match": "**.bias", "initializer": "zeros"}]}}"""

Spec = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="Name of a preset, a file with the spec, or - for stdin. A name that has a slash or "
        "ends in .json is a file, unless it is the Hub's id of a preset's model and no file; "
        "another name is a file only if no preset has it.",
    ),
]
Seed = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--seed", help="Seed in place of the spec's init.seed."),
]

Blobs = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Option(
        "--blob",
        metavar="FILE",
        help="Safetensors file that the spec names by its SHA-256 (`values` with a `file`); may "
        "be repeated.",
    ),
]


def read_document(spec: str, seed: int | None) -> Any:
    """Return the spec as JSON, parsed as strictly as the service does.

    `spec` is `-` for stdin; a file if it contains a slash or ends in `.json`; else the name of a
    preset, even if a file has that name; else a file. Raises: OSError, SpecError.
    """
    from seedpoint.models.errors import SpecError
    from seedpoint.service.errors import MalformedBody
    from seedpoint.service.planning.strict_json import parse_json

    try:
        document = _of_preset(spec) if _is_name(spec) else parse_json(_text(spec))
    except MalformedBody as error:
        raise SpecError.at("", str(error)) from None
    if seed is not None and isinstance(document, dict):
        init = document.get("init", {})
        document = document | {"init": init | {"seed": seed} if isinstance(init, dict) else init}
    return document


def _is_name(spec: str) -> bool:
    """Return whether to read `spec` as a preset's name: a preset or nothing has that name."""
    from seedpoint.models import presets

    if spec == "-" or spec.endswith(SUFFIX):
        return False
    if os.sep in spec:
        return _is_hub_id(spec) and not Path(spec).exists()
    if spec not in presets.names():
        return not Path(spec).exists()
    if Path(spec).is_file():
        complain(f"{spec} is both a preset and a file; the preset is used (./{spec} is the file)")
    return True


def _is_hub_id(spec: str) -> bool:
    from seedpoint.models import presets

    try:
        return bool(presets.resolve(spec))
    except presets.UnknownPreset:
        return False


def _of_preset(name: str) -> Any:
    from seedpoint.models import presets

    try:
        return presets.spec(name)
    except presets.UnknownPreset as error:
        raise FileNotFoundError(errno.ENOENT, f"no such file, and {error}", name) from None


def _text(spec: str) -> bytes:
    return sys.stdin.buffer.read() if spec == "-" else Path(spec).read_bytes()


def opened(blobs: list[Path] | None) -> LocalBlobs:
    """Return the files of `--blob`. Raises OSError, FileFault."""
    from seedpoint.service.local.blob_files import LocalBlobs

    return LocalBlobs.of(blobs or ())


def planned(document: Any, blobs: LocalBlobs) -> Planned:
    """Return the plan of a spec; its constructors are guarded as in a worker. Raises SpecError."""
    from seedpoint.models.plan.inner_sources import blobs_named
    from seedpoint.models.planning.compiler import make_plan
    from seedpoint.models.planning.sequential import platform
    from seedpoint.models.spec.schema import parse_spec
    from seedpoint.service.planning.sandbox import guarded

    with guarded(document):
        found = make_plan(parse_spec(document), platform=platform(), blobs=blobs)
    for name in set(blobs) - blobs_named(found.plan):
        complain(f"{blobs.path(name)} is not used: no rule names its SHA-256, {name}")
    return found
