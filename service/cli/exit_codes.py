"""Exit codes, and the exit code of each fault."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from seedpoint.service.cli.terminal import complain

_MEANINGS = {
    0: "done",
    1: "an error in Seedpoint itself",
    2: "wrong usage",
    3: "the spec cannot be issued; standard error has the path of each fault",
    4: "the checkpoint cannot be made here, for example on another platform",
    5: "a file cannot be read or written",
    6: "a file differs from its header, or Seedpoint did not write it",
    7: "the service cannot start: its address is in use, or it has no store",
    143: "ended by SIGTERM, without half-written files; serve --workers N: 0",
}
_LINES = (f"{code:>3} {text}" for code, text in _MEANINGS.items())
EXIT_CODES = "\n".join(("\b", "Exit codes:", *_LINES))  # After \b, click does not join lines.
WRONG_USAGE, SPEC_FAULT, PLATFORM, FILE_FAULT, NOT_GENUINE, CANNOT_SERVE = 2, 3, 4, 5, 6, 7
TERMINATED = 128 + signal.SIGTERM


@contextmanager
def faults_as_exit_codes() -> Iterator[None]:
    """Turn a caller's faults inside the block into lines on standard error and an exit code."""
    from seedpoint.models.errors import PlatformMismatch, SpecError
    from seedpoint.models.verify.header import FileFault

    try:
        yield
    except SpecError as error:
        for fault in error.faults:
            complain(f"{fault.path or 'spec'}: {fault.message}")
        raise typer.Exit(SPEC_FAULT) from None
    except PlatformMismatch as error:
        complain(str(error))
        raise typer.Exit(PLATFORM) from None
    except FileFault as error:
        complain(str(error))
        raise typer.Exit(NOT_GENUINE) from None
    except OSError as error:
        complain(f"{error.filename or 'file'}: {error.strerror}")
        raise typer.Exit(FILE_FAULT) from None


@contextmanager
def ending_well() -> Iterator[None]:
    """End on SIGTERM inside the block as on Ctrl-C: unfinished files are removed."""

    def end(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Lets the cleanup finish.
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
