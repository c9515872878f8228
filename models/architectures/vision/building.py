"""Checks of arguments, and construction, shared by the models of timm and torchvision."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from torch import nn

from seedpoint.models.architectures.forbidden_arguments import refused_arguments
from seedpoint.models.architectures.pretrained_weights import (
    OnlineError,
    is_ours,
    never_loaded,
    said,
)
from seedpoint.models.errors import LimitExceeded, SpecError
from seedpoint.models.spec.faults import join

# Arguments that count layers, at most `max_modules`.
_COUNT = re.compile(r".*(depth|layer|block|stage)s?")
# Arguments that may not be negative.
_SIZE = re.compile(r"num_(class|layer|block|stage|head)e?s|depths?|layers")
# Python's message for an unknown argument.
_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")


def check_arguments(
    args: Mapping[str, Any],
    path: str,
    *,
    library: Literal["timm", "torchvision"],
    max_modules: int,
) -> None:
    """Check the arguments of a model; `path` is their place in the spec.

    Raises:
        SpecError: For arguments that are refused whatever their value, and for negative sizes.
        LimitExceeded: For counts of layers above `max_modules`.
    """
    if faults := list(refused_arguments(args, path, library)):
        raise SpecError(faults)
    for name, value in args.items():
        for count in value if isinstance(value, list) else [value]:
            if _SIZE.fullmatch(name) and isinstance(count, int) and count < 0:
                raise SpecError.at(join(path, name), f"expected at least 0, not {count}")
            if _COUNT.fullmatch(name) and isinstance(count, int) and count > max_modules:
                message = f"{count} modules are too many; at most {max_modules} are allowed"
                raise LimitExceeded.at(join(path, name), message)


def constructed(make: Callable[[], nn.Module], root: str, args: Mapping[str, Any]) -> nn.Module:
    """Return the module that `make` makes, without downloads; `args` are its arguments.

    Raises:
        SpecError: With the constructor's own message, at the argument that it names.
    """
    try:
        with _offline():
            return make()
    except (RecursionError, SpecError):
        raise
    except Exception as error:  # anything that a constructor raises, OnlineError included
        if is_ours(error) and not isinstance(error, OnlineError):
            raise
        message = said(error)
        raise SpecError.at(_place(message, root, args), message) from error


def _place(message: str, root: str, args: Mapping[str, Any]) -> str:
    named = _UNEXPECTED.search(message)
    if named is not None and named[1] in args:
        return join(root, "args", named[1])
    return join(root, "args" if args else "model")


@contextmanager
def _offline() -> Iterator[None]:
    """Refuse to load weights, and silence warnings, inside the block."""
    with warnings.catch_warnings(), never_loaded():
        warnings.simplefilter("ignore")
        yield
