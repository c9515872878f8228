"""What a recording cannot hold, named with the line of the module's code that did it."""

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
# Between a module's code and the recorder lie only these files of PyTorch and of Python.
_BETWEEN = frozenset(
    str(module.__file__)
    for module in (
        *(torch.functional, torch.random, torch.storage, torch.serialization, init, parameter),
        *(copy, contextlib, _contextlib, _ops, _python_dispatch, _tensor),
    )
)


class RecordingError(ValueError):
    """A module whose own init cannot be recorded; the message says what and where."""


def calling_line() -> Line:
    """File and line of the innermost code that is neither the recorder's nor PyTorch's plumbing."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file not in _BETWEEN and not file.startswith(_OURS):
            return file, frame.f_lineno
        frame = frame.f_back
    return "?", 0


def shown(line: Line) -> str:
    """A line as messages name it: the last part of the file's name, and the number."""
    return f"{PurePath(line[0]).name}:{line[1]}"


def refusal(what: str, why: str) -> RecordingError:
    """The error that `what`, done by the code that is running, cannot be recorded."""
    return RecordingError(f"cannot record {what} at {shown(calling_line())}: {why}")
