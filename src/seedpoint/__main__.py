"""Command `seedpoint`, which is part of the extra `seedpoint[service]`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; if a library is missing, name the extra that installs it."""
    try:
        from seedpoint.service.cli import main as run

        run()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "seedpoint":
            raise
        sys.exit(f"seedpoint: {error.name} is not installed; pip install 'seedpoint[service]'")


if __name__ == "__main__":
    main()
