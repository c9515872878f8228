"""Offline mode of the transformers library: no hub, no cache, no weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NoReturn
from unittest import mock

from seedpoint.models.architectures.pretrained_weights import OnlineError, never_loaded, refusing

__all__ = ["OnlineError", "offline"]

_SILENT = 50  # logging.CRITICAL
# Methods of HfApi that ask the hub.
_ASKS = ("repo_exists", "file_exists", "model_info", "hf_hub_download", "snapshot_download")


@contextmanager
def offline() -> Iterator[None]:
    """Keep the library from its hub, from caches and from logging inside the block.

    Caches differ from machine to machine, so loaded weights would not be a function of the spec.

    Raises:
        OnlineError: If the library is to load something.
    """
    from huggingface_hub import constants
    from transformers.integrations import hub_kernels
    from transformers.utils import import_utils, logging

    verbosity = logging.get_verbosity()
    with ExitStack() as stack:
        stack.callback(logging.set_verbosity, verbosity)
        logging.set_verbosity(_SILENT)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        refuse = stack.enter_context(never_loaded())
        stack.enter_context(mock.patch.object(constants, "HF_HUB_OFFLINE", new=True))
        for owner, name, stand_in in _readers(refuse):
            stack.enter_context(mock.patch.object(owner, name, new=stand_in))
        # With the library of kernels, some constructors would run code of a hub unasked.
        for module in import_module("transformers.modeling_utils"), hub_kernels:
            stack.enter_context(mock.patch.object(module, "is_kernels_available", new=_not_there))
        # Others run the compiler of their kernels to see whether it exists, and cache the answer.
        import_utils.is_ninja_available.cache_clear()
        stack.callback(import_utils.is_ninja_available.cache_clear)
        none = SimpleNamespace(check_output=_not_found)
        stack.enter_context(mock.patch.object(import_utils, "subprocess", new=none))
        yield


def _readers(refuse: Callable[..., NoReturn]) -> Iterator[tuple[Any, str, Any]]:
    """Yield the library's functions that read files or ask the hub, with their stand-ins."""
    from huggingface_hub import HfApi
    from transformers import GenerationConfig, PreTrainedModel
    from transformers.configuration_utils import PreTrainedConfig

    as_class = classmethod(refuse)
    yield PreTrainedModel, "from_pretrained", as_class
    yield PreTrainedConfig, "get_config_dict", as_class
    yield GenerationConfig, "from_pretrained", as_class
    # For a backbone given by name, the library asks whether the name is a repository's.
    yield from ((HfApi, name, refuse) for name in _ASKS)
    for module, names in {
        "transformers.utils.hub": ("cached_file", "cached_files"),
        "transformers.configuration_utils": ("cached_file",),
        "transformers.dynamic_module_utils": ("get_class_from_dynamic_module", "cached_file"),
        "transformers.generation.configuration_utils": ("cached_file",),
        "transformers.modeling_utils": ("safe_open", "load_state_dict"),
        "transformers.models.auto.auto_factory": ("get_class_from_dynamic_module",),
        "transformers.models.auto.configuration_auto": ("get_class_from_dynamic_module",),
    }.items():
        owner = import_module(module)
        there = (name for name in names if hasattr(owner, name))
        yield from ((owner, name, refusing(getattr(owner, name))) for name in there)


def _not_found(*_: Any, **__: Any) -> NoReturn:
    raise FileNotFoundError


def _not_there(*_: Any, **__: Any) -> bool:
    return False
