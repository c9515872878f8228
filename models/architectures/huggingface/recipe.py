"""Recipe of a transformers model as `from_config` makes it, with the files that load it again."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from seedpoint.models.architectures.huggingface.classes import class_of
from seedpoint.models.architectures.huggingface.configs import config_of
from seedpoint.models.architectures.huggingface.offline import OnlineError, offline
from seedpoint.models.architectures.huggingface.rotary_embeddings import in_both
from seedpoint.models.architectures.pretrained_weights import is_ours, said
from seedpoint.models.dtypes import BY_NAME, BY_TORCH, DType
from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.validation.faults import join


@dataclass(frozen=True, slots=True)
class TransformersRecipe:
    """Config object and the class that takes it; see `external_models.Recipe`."""

    config: Any
    model: Any
    dtype: DType
    path: str
    stored: DType | None = None
    warnings: tuple[Fault, ...] = ()

    @property
    def wide(self) -> DType:
        return BY_NAME["float64" if self.dtype.name == "float64" else "float32"]

    def make(self, dtype: DType) -> nn.Module:
        """Return `model._from_config(config)`, which `AutoModel.from_config` calls."""
        config = copy.deepcopy(self.config)
        with self._telling():
            made: nn.Module = self.model._from_config(config, dtype=dtype.torch)
        return made

    def dtypes(self, module: Any, names: Mapping[str, DType]) -> Mapping[str, DType]:
        """Return the tensors that `from_pretrained` holds in float32 in a model of any dtype."""
        stored = self.stored or self.dtype
        plan = module._get_dtype_plan(stored.torch) if hasattr(module, "_get_dtype_plan") else {}
        # The loader looks for these anywhere in a name; `*` stands for any characters.
        kept = {re.compile(name.replace("*", ".*")): BY_TORCH[plan[name]] for name in plan}
        return {
            name: dtype
            for name, made in names.items()
            if made.is_floating
            for pattern, dtype in kept.items()
            if pattern.search(name)
        }

    def files(self, module: Any) -> Mapping[str, str]:
        """Return `config.json`, and `generation_config.json` if the model can generate."""
        with self._telling():
            config = copy.deepcopy(module.config)
            config.dtype = self.dtype.name  # never 8 bits: the library loads no model in that
            config.architectures = [type(module).__name__]
            text = in_both(config.to_json_string(use_diff=True), type(config))
            found = {"config.json": text}
            if module.can_generate() and getattr(module, "generation_config", None) is not None:
                text = module.generation_config.to_json_string(use_diff=True)
                found["generation_config.json"] = text
            return {name: _plain(text) for name, text in found.items()}

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Run the block offline, and turn the errors of the library into SpecErrors."""
        try:
            with offline():
                yield
        except (RecursionError, SpecError):
            raise
        except OnlineError as error:
            raise SpecError.at(self.path, f"{self.model.__name__}: {error}") from None
        except Exception as error:  # anything that a constructor or a config raises
            if is_ours(error):
                raise
            raise SpecError.at(self.path, f"{self.model.__name__}: {said(error)}") from error


def recipe_of(
    fields: Mapping[str, Any],
    root: str,
    *,
    name: str | None,
    task: str | None,
    dtype: DType | None,
    max_modules: int,
) -> TransformersRecipe:
    """Return the recipe of the architecture at the path `root`, from the fields of its config.

    `name` is the name of the class; without it, the config or `task` decides.

    Raises:
        SpecError: If the config has faults or there is no class for it.
        LimitExceeded: For counts of layers above `max_modules`, and for too many labels.
    """
    path = join(root, "config")
    try:
        with offline():
            config, warnings = config_of(fields, path, max_modules)
            model = class_of(config, root, name=name, task=task)
    except OnlineError as error:
        raise SpecError.at(path, str(error)) from None
    own = BY_TORCH[config.dtype] if isinstance(config.dtype, torch.dtype) else BY_NAME["float32"]
    # PyTorch makes no model in 8 bits. bfloat16 still shows which tensors have their own dtype.
    made = dtype if dtype is None or dtype.itemsize > 1 else BY_NAME["bfloat16"]
    return TransformersRecipe(config, model, made or own, path, stored=dtype, warnings=warnings)


def _plain(text: str) -> str:
    """Return JSON text after a check that it parses."""
    json.loads(text)
    return text
