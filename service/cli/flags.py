"""Command-line flags made from the settings, so that both lists stay the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Optional

import typer
from pydantic import ValidationError

from seedpoint.service.settings import Settings


def with_settings(command: Callable[[Settings], None]) -> Callable[..., None]:
    """Return `command` with a flag for each setting; it is called with the settings.

    Without a flag, `SEEDPOINT_<NAME>` or the default decides.
    """

    def run(**flags: Any) -> None:
        given = {name: value for name, value in flags.items() if value is not None}
        try:
            settings = Settings(**given)
        except ValidationError as error:
            fault = error.errors()[0]
            name = str(fault["loc"][0]).replace("_", "-")
            raise typer.BadParameter(fault["msg"], param_hint=f"--{name}") from None
        command(settings)

    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    parameters = [flag(name) for name in Settings.model_fields]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def flag(name: str) -> inspect.Parameter:
    """Return the flag of the setting `name`, as a keyword-only parameter."""
    field = Settings.model_fields[name]
    default = "the number of CPUs" if field.default_factory else str(field.default)
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        help=f"{field.description} [default: {default}]",
        envvar=f"SEEDPOINT_{name.upper()}",
        show_default=False,
    )
    annotation = Annotated[Optional[field.annotation], option]  # type: ignore[name-defined]  # noqa: UP045
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword_only, default=None, annotation=annotation)
