"""Block on trained weights: models load none from a hub, a cache or a disk, whatever their code."""

from __future__ import annotations

import importlib
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache, wraps
from pathlib import PurePath
from types import ModuleType
from typing import Any, NoReturn
from unittest import mock

from seedpoint.models.architectures.optional_libraries import is_installed, load_torchvision
from seedpoint.models.architectures.torch_errors import message_of
from seedpoint.models.errors import SpecError

_CACHES = ("download_cached_file", "check_cached_file")
_STATES = ("load_state_dict_from_hf", "load_state_dict_from_path", "load_custom_from_hf")
_CONFIGS = ("load_model_config_from_hf", "load_model_config_from_path")
# Functions that open files by name, from a cache or at an address: module -> names. A function is
# listed under each of its names. Some are native code, which no audit hook sees.
READERS: Mapping[str, tuple[str, ...]] = {
    "numpy": ("load", "fromfile"),
    "torch": ("load", "from_file"),
    "torch.hub": ("load", "load_state_dict_from_url", "download_url_to_file"),
    "torch.jit": ("load",),
    "torch.serialization": ("load",),
    "urllib.request": ("urlopen", "urlretrieve"),
    "safetensors": ("safe_open",),
    "safetensors.numpy": ("load_file", "safe_open"),
    "safetensors.torch": ("load_file", "load_model", "safe_open"),
    "huggingface_hub.file_download": ("hf_hub_download", "try_to_load_from_cache"),
    "timm.models._builder": (*_CACHES, *_STATES, "load_state_dict", "load_state_dict_from_url"),
    "timm.models._factory": (*_CONFIGS, "load_checkpoint"),
    "timm.models._helpers": ("load_checkpoint", "load_state_dict"),
    "timm.models._hub": (
        *(*_CACHES, *_STATES, *_CONFIGS, "download_from_hf", "hf_hub_download"),
        *("load_cfg_from_json", "load_state_dict"),
    ),
    "torchvision.models._api": ("load_state_dict_from_url",),
}
_LIBRARIES = ("safetensors", "huggingface_hub", "timm", "torchvision")
"""Libraries of `READERS` that may be missing."""


class OnlineError(Exception):
    """Constructor that needs files which a config does not hold."""


class Reading:
    """Refused reads of a constructor. The first error is kept because a library may swallow it."""

    def __init__(self) -> None:
        self.first: OnlineError | None = None

    def refuse(self, *args: Any, **_: Any) -> NoReturn:
        """Refuse to load the file that the first string of `args` names.

        Raises:
            OnlineError: Always; the first one is raised again.
        """
        named = next((argument for argument in args if isinstance(argument, str)), "files")
        message = f"it would load {named!r}: nothing is downloaded or read from a cache"
        self.first = self.first or OnlineError(message)
        raise self.first


_readings: list[Reading] = []  # one for each `never_loaded` block that is entered, innermost last


def refusing(reader: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that refuses inside `never_loaded` blocks and calls `reader` elsewhere.

    A module that is first imported inside a block keeps this function under its own name. It
    reads files after the block, and refuses again in the next one.
    """

    @wraps(reader, updated=())
    def read(*args: Any, **options: Any) -> Any:
        if _readings:
            _readings[-1].refuse(*args)
        return reader(*args, **options)

    return read


@contextmanager
def never_loaded() -> Iterator[Callable[..., NoReturn]]:
    """Refuse to load weights, or a config beside them, inside the block.

    Files and caches differ from machine to machine, so loaded weights would not be a function of
    the spec. The block yields a function that refuses all calls.

    Raises:
        OnlineError: From any reader, and at the end of the block if a library swallowed it.
    """
    reading = Reading()
    with ExitStack() as stack:
        for owner, name in _readers():
            stand_in = refusing(getattr(owner, name))
            stack.enter_context(mock.patch.object(owner, name, new=stand_in))
        _readings.append(reading)
        stack.callback(_readings.remove, reading)
        try:
            yield reading.refuse
        except (OnlineError, SpecError):
            raise
        except Exception:
            if reading.first is not None:
                raise reading.first from None
            raise
    if reading.first is not None:
        raise reading.first


def _readers() -> Iterator[tuple[Any, str]]:
    """Yield each reader with its owner, imported: a reader imported later would not be replaced."""
    for module, names in READERS.items():
        library = module.partition(".")[0]
        is_optional = library in _LIBRARIES
        if is_optional and not is_installed(library):
            continue
        owner = _imported(module) if is_optional else importlib.import_module(module)
        yield from ((owner, name) for name in names if hasattr(owner, name))


def import_readers() -> None:
    """Import all functions that `never_loaded` replaces, so that its first block need not."""
    for _ in _readers():
        pass


@cache
def _imported(module: str) -> ModuleType | None:
    """Import a module of a library; return None if the import fails, since it reads nothing then.

    One missing module leaves the readers of its library's other modules replaced.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            load_torchvision()  # timm imports it
            return importlib.import_module(module)
        except (ImportError, OSError, RuntimeError, AttributeError):
            return None


def said(error: BaseException) -> str:
    """Return a library's error message in one line, or the line of code if there is none."""
    if str(error).strip():
        return message_of(error).removeprefix("torch: ")
    name = type(error).__name__
    if not (frames := traceback.extract_tb(error.__traceback__)):
        return name
    last = frames[-1]
    code = f": {last.line}" if last.line else ""
    return f"{name} at {PurePath(last.filename).name}:{last.lineno}{code}"


def is_ours(error: BaseException) -> bool:
    """Return whether the error is the recorder's own, or a real lack of memory."""
    gone = isinstance(error, MemoryError) and not str(error)
    return gone or type(error).__module__.startswith("seedpoint.models.")
