"""`seedpoint serve`."""

from __future__ import annotations

from service.flags import with_settings
from service.settings import Settings


@with_settings
def serve(settings: Settings) -> None:
    """Run the service until it is told to stop."""
    from service.app import serve as run

    run(settings)
