"""Architectures: from a spec's JSON to a torch module, or to a list of tensors."""

from __future__ import annotations

from models.architectures.base import Layer
from models.architectures.build import Blueprint, Built, build, check, construct
from models.architectures.canonical import normalized
from models.architectures.catalogue import catalogue
from models.architectures.foreign import Foreign, Recipe
from models.architectures.limits import MAX_MODULES, check_depth
from models.architectures.tensors import NamedTensor, TensorList, Tensors
from models.architectures.union import FOREIGN, Architecture, json_schema, parse

__all__ = [
    "FOREIGN",
    "MAX_MODULES",
    "Architecture",
    "Blueprint",
    "Built",
    "Foreign",
    "Layer",
    "NamedTensor",
    "Recipe",
    "TensorList",
    "Tensors",
    "build",
    "catalogue",
    "check",
    "check_depth",
    "construct",
    "json_schema",
    "normalized",
    "parse",
]
