"""The transformers library held to what is given: no hub, no cache, no weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from models.architectures.weights import OnlineError, never_loaded, refused

__all__ = ["OnlineError", "offline"]

_SILENT = 50  # logging.CRITICAL


@contextmanager
def offline() -> Iterator[None]:
    """While it lasts, the library neither asks its hub, nor reads a cache, nor speaks.

    What is in a cache differs from machine to machine: weights that were loaded would not be
    a function of the spec. Raises OnlineError where something is to be loaded.
    """
    from huggingface_hub import HfApi, constants
    from transformers import PreTrainedModel, modeling_utils
    from transformers.configuration_utils import PreTrainedConfig
    from transformers.integrations import hub_kernels
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
            stack.enter_context(mock.patch.object(owner, name, new=classmethod(refused)))
        stack.enter_context(mock.patch.object(hub, "cached_files", new=refused))
        # Whether a name is a repository's is asked for backbones that are given by name.
        stack.enter_context(mock.patch.object(HfApi, "repo_exists", new=refused))
        # With the library of kernels, code of a hub would be run, by some constructors unasked.
        for module in (modeling_utils, hub_kernels):
            stack.enter_context(mock.patch.object(module, "is_kernels_available", new=_not_there))
        stack.enter_context(never_loaded())
        yield


def _not_there(*_: Any, **__: Any) -> bool:
    return False
