"""Libraries of the extras: their detection, and their import beside any build of torch."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from importlib.util import find_spec

import torch

from seedpoint.models.errors import SpecError

# Operators of torchvision's compiled part that its Python part names during its import.
_SCHEMAS = tuple(
    f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms")
)


EXTRAS = {"transformers": "transformers", "timm": "timm", "torchvision": "timm"}
"""Library -> extra that installs it."""


@cache
def is_installed(library: str) -> bool:
    """Return whether a library of `EXTRAS` can be imported, without importing it.

    timm also needs torchvision.
    """
    names = (library, "torchvision") if library == "timm" else (library,)
    return all(find_spec(name) is not None for name in names)


def require(library: str, root: str) -> None:
    """Import `library`.

    Raises:
        SpecError: At the architecture's type, if the library is not installed.
    """
    if not is_installed(library):
        raise SpecError.at(
            f"{root}.type",
            f"{library} is not installed here; install the extra: "
            f"pip install 'seedpoint[{EXTRAS[library]}]'",
        )
    load_torchvision()  # the other libraries import it if they find it
    importlib.import_module(library)


@cache
def load_torchvision() -> torch.library.Library | None:
    """Import torchvision if it is installed, even a build for another torch than this one.

    The build at PyPI is for CUDA. Beside a torch without CUDA its compiled part does not load, and
    its Python part fails with `operator torchvision::nms does not exist`. Building a model needs
    none of these operators, so declaring them is enough. The declarations last as long as the
    returned object.
    """
    if find_spec("torchvision") is None:
        return None
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return None
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        declared.define(schema)
    importlib.import_module("torchvision")
    return declared
