"""Specs as the command line takes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from models.compile import Planned

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="A file with the spec; - is stdin.")]
Seed = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--seed", help="Takes the place of the spec's init.seed."),
]


def read_document(spec: str, seed: int | None) -> Any:
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


def planned(document: Any) -> Planned:
    """The plan of a spec; raises SpecError."""
    from models.compile import make_plan
    from models.materialize import platform
    from models.spec import parse_spec

    return make_plan(parse_spec(document), platform=platform())
