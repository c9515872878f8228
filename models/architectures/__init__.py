"""Architectures: parsing of a spec's JSON, and building of a torch module or a list of tensors."""

from __future__ import annotations

from seedpoint.models.architectures.base import Layer
from seedpoint.models.architectures.build import Blueprint, Built, build, check, construct
from seedpoint.models.architectures.canonical_form import normalized
from seedpoint.models.architectures.catalogue import catalogue
from seedpoint.models.architectures.external_models import Foreign, Recipe
from seedpoint.models.architectures.library_models import LibraryModels, recipes_of
from seedpoint.models.architectures.limits import MAX_MODULES, check_depth
from seedpoint.models.architectures.size_chains import broken_chains
from seedpoint.models.architectures.tensors import NamedTensor, TensorList, Tensors
from seedpoint.models.architectures.type_union import FOREIGN, Architecture, json_schema, parse

__all__ = [
    "FOREIGN",
    "MAX_MODULES",
    "Architecture",
    "Blueprint",
    "Built",
    "Foreign",
    "Layer",
    "LibraryModels",
    "NamedTensor",
    "Recipe",
    "TensorList",
    "Tensors",
    "broken_chains",
    "build",
    "catalogue",
    "check",
    "check_depth",
    "construct",
    "json_schema",
    "normalized",
    "parse",
    "recipes_of",
]
