"""Trained weights: never loaded, from a hub, a cache or a disk, whatever a model's code asks."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import PurePath
from typing import Any, NoReturn
from unittest import mock

import numpy as np
import torch
import torch.hub

from models.architectures.torch_errors import message_of

# Where libraries keep what reads files and caches, if they are imported.
_READERS = {
    "safetensors.torch": ("load_file", "safe_open"),
    "timm.models._hub": ("download_from_hf", "load_cfg_from_json"),
    "timm.models._factory": (
        *("load_checkpoint", "load_model_config_from_hf", "load_model_config_from_path"),
    ),
}


class OnlineError(Exception):
    """A constructor that wants files which a config does not hold."""


def refused(*args: Any, **_: Any) -> NoReturn:
    """Stands for whatever loads a file by its name. Raises OnlineError."""
    named = next((argument for argument in args if isinstance(argument, str)), "files")
    raise OnlineError(f"it would load {named!r}: nothing is downloaded, nor read from a cache")


@contextmanager
def never_loaded() -> Iterator[None]:
    """While it lasts, whatever loads weights, or a config beside them, raises OnlineError.

    A file of that name, and a cache, differ from machine to machine: what was loaded would not
    be a function of the spec.
    """
    with ExitStack() as stack:
        for owner, name in _readers():
            stack.enter_context(mock.patch.object(owner, name, new=refused))
        yield


def _readers() -> Iterator[tuple[Any, str]]:
    yield from ((torch, "load"), (np, "load"))
    yield from ((torch.hub, "load"), (torch.hub, "load_state_dict_from_url"))
    for module, names in _READERS.items():
        owner = sys.modules.get(module)
        yield from ((owner, name) for name in names if hasattr(owner, name))


def said(error: BaseException) -> str:
    """What a library's error says, in one line; where it says nothing, the line it comes from."""
    if str(error).strip():
        return message_of(error).removeprefix("torch: ")
    name = type(error).__name__
    if not (frames := traceback.extract_tb(error.__traceback__)):
        return name
    last = frames[-1]
    code = f": {last.line}" if last.line else ""
    return f"{name} at {PurePath(last.filename).name}:{last.lineno}{code}"


def is_ours(error: BaseException) -> bool:
    """Whether it is the recorder's own error, or memory that is really gone."""
    gone = isinstance(error, MemoryError) and not str(error)
    return gone or type(error).__module__.startswith("models.")
