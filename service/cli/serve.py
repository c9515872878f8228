"""Command `seedpoint serve`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperCommand

from seedpoint.service.cli.exit_codes import CANNOT_SERVE, faults_as_exit_codes
from seedpoint.service.cli.terminal import complain

if TYPE_CHECKING:
    from seedpoint.service.settings import Settings


class Serve(TyperCommand):
    """Command whose flags are made from the settings when it is used or its help is shown.

    The settings import pydantic, which takes longer than the help of the other commands.
    """

    @cached_property
    def _with_flags(self) -> Any:
        from seedpoint.service.cli.flags import with_settings

        app = typer.Typer(add_completion=False)
        app.command()(with_settings(_serve))
        return typer.main.get_command(app)

    def get_params(self, ctx: Any) -> Any:
        return self._with_flags.get_params(ctx)

    def invoke(self, ctx: Any) -> Any:
        return self._with_flags.invoke(ctx)


def serve() -> None:
    """Run the service until it is told to stop."""  # `Serve` calls `_serve` with the settings.


def _serve(settings: Settings) -> None:
    from seedpoint.service.server.multiprocess import STARTUP_FAILURE
    from seedpoint.service.server.serve import serve as run

    _check_device(settings)
    _check(settings)
    try:
        run(settings)
    except SystemExit as ended:
        if ended.code == STARTUP_FAILURE:  # The service has logged the reason.
            raise typer.Exit(CANNOT_SERVE) from None
        raise


def _check_device(settings: Settings) -> None:
    from seedpoint.service.devices import resolve_device

    if settings.device != "auto":  # There is always a device for it, and importing torch is slow.
        with faults_as_exit_codes():
            resolve_device(settings.device)


def _check(settings: Settings) -> None:
    """End the process if the service cannot start, before anything is started."""
    from seedpoint.service.server.addresses import check_free

    try:
        check_store(settings.store)
    except OSError as error:
        _end(f"--store {settings.store}", error)
    try:
        check_free(settings.host, settings.port)
    except OSError as error:
        _end(f"--host {settings.host} --port {settings.port}", error)


def check_store(directory: Path) -> None:
    """Check that the store is writable; the file written for it is removed.

    A store that is full, or that has plans, passes: it can be served. Raises: OSError.
    """
    from seedpoint.service.storage.checkpoint_store import has_plans
    from seedpoint.service.storage.directory import DirectoryStore
    from seedpoint.service.storage.faults import FULL

    store = DirectoryStore(directory)
    try:
        store.check_writable()
    except OSError as error:
        if error.errno not in FULL and not has_plans(store):
            raise


def _end(flags: str, error: OSError) -> NoReturn:
    complain(f"the service cannot start with {flags}: {error.strerror or error}")
    raise typer.Exit(CANNOT_SERVE) from None
