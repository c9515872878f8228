"""Buffers that no state dict holds (`persistent=False`): part of a model, but of no checkpoint."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from seedpoint.models.architectures import (
    Blueprint,
    LibraryModels,
    Recipe,
    Tensors,
    check,
    construct,
    recipes_of,
)
from seedpoint.models.errors import SpecError
from seedpoint.models.spec.limits import DEFAULT, Limits
from seedpoint.models.spec.schema import Spec
from seedpoint.models.tape import RecordingError, unsaved_buffers


def non_persistent_buffers(spec: Spec, *, limits: Limits = DEFAULT) -> dict[str, torch.Tensor]:
    """Return the non-persistent buffers of the spec's module, by name, on the CPU.

    These are rotary frequencies, position ids and masks: what the constructors give, in the dtype
    that they have in a module of the spec's default dtype. No parameter takes memory. Such values
    may differ in the last bit between machines, as `pow` does between C libraries.

    Raises:
        SpecError: The module cannot be built or recorded, or a buffer is random.
        LimitExceeded: The module is beyond the limits.
    """
    architecture = spec.architecture
    if isinstance(architecture, Tensors):
        return {}
    blueprint = check(architecture, max_modules=limits.modules)
    recipes = recipes_of(blueprint.tree, dtype=spec.model_dtype, max_modules=limits.modules)
    library = LibraryModels(recipes, _make, limits.modules)
    try:
        return unsaved_buffers(partial(_module, blueprint, library))
    except RecordingError as error:
        raise SpecError.at(library.place or "architecture", str(error)) from None


def _module(blueprint: Blueprint, library: LibraryModels) -> nn.Module:
    return construct(blueprint, library).module


def _make(recipe: Recipe) -> nn.Module:
    return recipe.make(recipe.dtype)
