"""The libraries of the extras: whether they are there, and loaded beside any torch."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from importlib.util import find_spec

import torch

from seedpoint.models.errors import SpecError

# Operators of torchvision's compiled part that its Python part names while it is imported.
_SCHEMAS = tuple(
    f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms")
)


EXTRAS = {"transformers": "transformers", "timm": "timm", "torchvision": "timm"}
"""The extra that installs each library."""


@cache
def is_installed(library: str) -> bool:
    """Whether one of `EXTRAS` can be imported; it is not, to find out.

    timm needs torchvision, too.
    """
    names = (library, "torchvision") if library == "timm" else (library,)
    return all(find_spec(name) is not None for name in names)


def require(library: str, root: str) -> None:
    """Loads `library`. Raises SpecError, at the architecture's type, where it is not installed."""
    if not is_installed(library):
        raise SpecError.at(
            f"{root}.type",
            f"{library} is not installed here; install the extra: "
            f"pip install 'seedpoint[{EXTRAS[library]}]'",
        )
    load_torchvision()  # which the others import where they find it
    importlib.import_module(library)


@cache
def load_torchvision() -> torch.library.Library | None:
    """Imports torchvision where it is installed, also a build for another torch than this one.

    The one at PyPI is built for CUDA. Beside a torch without it the compiled part does not load,
    and its Python part fails with `operator torchvision::nms does not exist`. No model needs
    these operators to be built, so declaring them is enough; the declarations last as long
    as what is returned.
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
