"""The transformers library: whether it is there, and held to what is on this machine."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any, NoReturn
from unittest import mock

from models.architectures.vision.library import load_torchvision
from models.errors import SpecError

_SILENT = 50  # logging.CRITICAL


class OnlineError(Exception):
    """A constructor that wants files which a config does not hold."""


@cache
def is_installed() -> bool:
    """Whether the library can be imported; it is not imported to find out."""
    return find_spec("transformers") is not None


def require(root: str) -> None:
    """Raises SpecError, at the architecture's type, where the library is not installed."""
    if not is_installed():
        raise SpecError.at(
            f"{root}.type",
            "transformers is not installed here; install the extra: "
            "pip install 'seedpoint[transformers]'",
        )
    load_torchvision()  # which the library imports where it finds it


@contextmanager
def offline() -> Iterator[None]:
    """While it lasts, the library neither asks its hub, nor reads a cache, nor speaks.

    What is in a cache differs from machine to machine: weights that were loaded would not be
    a function of the spec. Raises OnlineError where something is to be loaded.
    """
    from huggingface_hub import constants
    from transformers import PreTrainedModel
    from transformers.configuration_utils import PreTrainedConfig
    from transformers.utils import hub, logging

    verbosity = logging.get_verbosity()
    with ExitStack() as stack:
        stack.callback(logging.set_verbosity, verbosity)
        logging.set_verbosity(_SILENT)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(mock.patch.object(constants, "HF_HUB_OFFLINE", new=True))
        for owner, name in (
            (PreTrainedModel, "from_pretrained"),
            (PreTrainedConfig, "get_config_dict"),
        ):
            stack.enter_context(mock.patch.object(owner, name, new=classmethod(_refused)))
        stack.enter_context(mock.patch.object(hub, "cached_files", new=_refused))
        yield


def _refused(*args: Any, **_: Any) -> NoReturn:
    named = next((argument for argument in args if isinstance(argument, str)), "files")
    raise OnlineError(f"it would load {named!r}: nothing is downloaded, nor read from a cache")
