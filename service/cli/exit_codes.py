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
    1: "a fault of Seedpoint's own",
    2: "wrong usage",
    3: "a spec that cannot be issued: each fault with its path on standard error",
    4: "a checkpoint that cannot be made here, as one of another platform",
    5: "a file that cannot be read or written",
    6: "a file that is not what its header says, or none of Seedpoint's",
    7: "a service that cannot start: its address is taken, its store not there and not writable",
    143: "told to end (SIGTERM); nothing half written is left; `serve --workers N` ends with 0",
}
EXIT_CODES = "Exit codes:\n" + "\n".join(f"{code:>3} {text}" for code, text in _MEANINGS.items())
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
