"""The exit codes, and which fault ends in which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

EXIT_CODES = """
Exit codes: 0 done; 1 a fault of Seedpoint's own; 2 wrong usage; 3 a spec that cannot be issued,
each fault with its path on standard error; 4 a checkpoint that cannot be made here, such as one
bound to another platform; 5 a file that cannot be read or written; 6 a file that is not what its
header says, or is no checkpoint of Seedpoint.
"""
SPEC_FAULT, PLATFORM, FILE_FAULT, NOT_GENUINE = 3, 4, 5, 6


@contextmanager
def faults_as_exit_codes() -> Iterator[None]:
    """What a caller did wrong, told on standard error, as an exit code."""
    from models.errors import PlatformMismatch, SpecError
    from models.header import FileFault

    try:
        yield
    except SpecError as error:
        for fault in error.faults:
            typer.echo(f"{fault.path or 'spec'}: {fault.message}", err=True)
        raise typer.Exit(SPEC_FAULT) from None
    except PlatformMismatch as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(PLATFORM) from None
    except FileFault as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(NOT_GENUINE) from None
    except OSError as error:
        typer.echo(f"{error.filename or 'file'}: {error.strerror}", err=True)
        raise typer.Exit(FILE_FAULT) from None
