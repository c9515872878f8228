"""Which Seedpoint this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def seedpoint_version() -> str:
    """The installed distribution's version."""
    try:
        return version("seedpoint")
    except PackageNotFoundError:  # Run from a checkout that is not installed.
        return "0+unknown"
