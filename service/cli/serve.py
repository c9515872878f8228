"""`seedpoint serve`."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import typer

from service.cli.exits import CANNOT_SERVE, faults_as_exit_codes
from service.cli.flags import with_settings
from service.cli.terminal import complain
from service.settings import Settings


@with_settings
def serve(settings: Settings) -> None:
    """Run the service until it is told to stop."""
    from service.devices import resolve_device
    from service.server import serve as run

    with faults_as_exit_codes():
        resolve_device(settings.device)
    _check(settings)
    try:
        run(settings)
    except SystemExit as ended:
        if ended.code == UVICORN_FAILED:  # It has logged why.
            raise typer.Exit(CANNOT_SERVE) from None
        raise


UVICORN_FAILED = 3
"""How uvicorn ends when the application does not start: a spec's fault, among our codes."""


def _check(settings: Settings) -> None:
    """Ends the process where the service could not start, before it starts anything."""
    from service.addresses import check_free

    try:
        _check_store(settings.store)
    except OSError as error:
        _end(f"--store {settings.store}", error)
    try:
        check_free(settings.host, settings.port)
    except OSError as error:
        _end(f"--host {settings.host} --port {settings.port}", error)


def _check_store(directory: Path) -> None:
    """Writes into the store and leaves nothing there; raises OSError.

    One that is full is left at that: what is in it can be served.
    """
    from service.storage.durable import check_writable
    from service.storage.store import FULL, PROBE_BYTES

    try:
        check_writable(directory, PROBE_BYTES)
    except OSError as error:
        if error.errno not in FULL:
            raise


def _end(flags: str, error: OSError) -> NoReturn:
    complain(f"the service cannot start with {flags}: {error.strerror or error}")
    raise typer.Exit(CANNOT_SERVE) from None
