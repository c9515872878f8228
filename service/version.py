"""Version of Seedpoint."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def seedpoint_version() -> str:
    """Return the installed distribution's version."""
    try:
        return version("seedpoint")
    except PackageNotFoundError:  # Runs from a checkout that is not installed.
        return "0+unknown"
