"""Recording errors, which name the line of the module's code that caused them."""

from __future__ import annotations

import contextlib
import copy
import sys
from pathlib import PurePath
from types import FrameType

import torch
from torch import _ops, _tensor
from torch.nn import init, parameter
from torch.utils import _contextlib, _python_dispatch

Line = tuple[str, int]

_OURS = str(PurePath(__file__).parent)
# The only files of PyTorch and Python between a module's code and the recorder on the stack.
_BETWEEN = frozenset(
    str(module.__file__)
    for module in (
        *(torch.functional, torch.random, torch.storage, torch.serialization, init, parameter),
        *(copy, contextlib, _contextlib, _ops, _python_dispatch, _tensor),
    )
)


class RecordingError(ValueError):
    """Module whose own init cannot be recorded; the message names the operation and the line."""


def calling_line() -> Line:
    """Return file and line of the innermost frame outside the recorder and PyTorch's plumbing."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file not in _BETWEEN and not file.startswith(_OURS):
            return file, frame.f_lineno
        frame = frame.f_back
    return "?", 0


def shown(line: Line) -> str:
    """Format a line for messages: the file's base name and the line number."""
    return f"{PurePath(line[0]).name}:{line[1]}"


def refusal(what: str, why: str) -> RecordingError:
    """Return the error that `what`, run by the current code, cannot be recorded."""
    return RecordingError(f"cannot record {what} at {shown(calling_line())}: {why}")
