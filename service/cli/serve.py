"""`seedpoint serve`."""

from __future__ import annotations

from service.cli.exits import faults_as_exit_codes
from service.flags import with_settings
from service.settings import Settings


@with_settings
def serve(settings: Settings) -> None:
    """Run the service until it is told to stop."""
    from service.app import serve as run
    from service.devices import resolve_device

    with faults_as_exit_codes():
        resolve_device(settings.device)
    run(settings)
