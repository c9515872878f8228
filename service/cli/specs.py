"""Specs as the command line takes them."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from models.compile import Planned

Spec = Annotated[
    str, typer.Argument(metavar="SPEC", help="A file with the spec, - for stdin, or a preset.")
]
Seed = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--seed", help="Takes the place of the spec's init.seed."),
]


def read_document(spec: str, seed: int | None) -> Any:
    """The spec as JSON, read as strictly as the service does; raises OSError and SpecError.

    `spec` is a file, or else the name of a preset.
    """
    from models.errors import SpecError
    from service.errors import MalformedBody
    from service.planning.documents import parse_json

    try:
        document = _of_preset(spec) if _is_name(spec) else parse_json(_text(spec))
    except MalformedBody as error:
        raise SpecError.at("", str(error)) from None
    if seed is not None and isinstance(document, dict):
        init = document.get("init", {})
        document = document | {"init": init | {"seed": seed} if isinstance(init, dict) else init}
    return document


def _is_name(spec: str) -> bool:
    return spec != "-" and Path(spec).name == spec and not Path(spec).exists()


def _of_preset(name: str) -> Any:
    from models import presets

    try:
        return presets.spec(name)
    except presets.UnknownPreset as error:
        raise FileNotFoundError(errno.ENOENT, f"no such file, and {error}", name) from None


def _text(spec: str) -> bytes:
    return sys.stdin.buffer.read() if spec == "-" else Path(spec).read_bytes()


def planned(document: Any) -> Planned:
    """The plan of a spec, whose constructors are guarded as in a worker; raises SpecError."""
    from models.compile import make_plan
    from models.materialize import platform
    from models.spec import parse_spec
    from service.planning.guard import guarded

    with guarded(document):
        return make_plan(parse_spec(document), platform=platform())
