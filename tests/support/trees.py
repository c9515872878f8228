"""Architectures as documents, and the modules built from them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from seedpoint.models.architectures import Built, build, parse
from seedpoint.models.errors import SpecError

Document = dict[str, Any]
RELU: Document = {"type": "ReLU"}


def linear(inputs: int = 4, outputs: int = 4, **more: Any) -> Document:
    return {"type": "Linear", "in_features": inputs, "out_features": outputs, **more}


def sequential(*layers: Document, **more: Any) -> Document:
    return {"type": "Sequential", "layers": list(layers), **more}


def ref(target: str, **more: Any) -> Document:
    return {"type": "Ref", "ref": target, **more}


def repeat(count: int, layer: Document, **more: Any) -> Document:
    return {"type": "Repeat", "count": count, "layer": layer, **more}


def built(document: Document, seed: int = 3) -> Built:
    torch.manual_seed(seed)
    result = build(parse(document))
    assert isinstance(result, Built)
    return result


def faults(document: Any, **limits: int) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        build(parse(document), **limits)
    return [(fault.path, fault.message) for fault in caught.value.faults]


def paths(document: Any, **limits: int) -> list[str]:
    return [path for path, _ in faults(document, **limits)]


def assert_same(module: nn.Module, expected: nn.Module) -> None:
    found, wanted = module.state_dict(), expected.state_dict()
    assert list(found) == list(wanted)
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    assert str(module) == str(expected)
