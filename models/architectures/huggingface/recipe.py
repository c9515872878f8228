"""A transformers model made as `from_config` makes it, and the files that load it again."""

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
from seedpoint.models.spec.faults import join


@dataclass(frozen=True, slots=True)
class TransformersRecipe:
    """A config object and the class that takes it; see `foreign.Recipe`."""

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
        """`model._from_config(config)`, which is what `AutoModel.from_config` calls."""
        config = copy.deepcopy(self.config)
        with self._telling():
            made: nn.Module = self.model._from_config(config, dtype=dtype.torch)
        return made

    def dtypes(self, module: Any, names: Mapping[str, DType]) -> Mapping[str, DType]:
        """What `from_pretrained` holds in float32 whatever the model's dtype is."""
        stored = self.stored or self.dtype
        plan = module._get_dtype_plan(stored.torch) if hasattr(module, "_get_dtype_plan") else {}
        # As the loader looks for them: anywhere in a name, `*` for any characters.
        kept = {re.compile(name.replace("*", ".*")): BY_TORCH[plan[name]] for name in plan}
        return {
            name: dtype
            for name, made in names.items()
            if made.is_floating
            for pattern, dtype in kept.items()
            if pattern.search(name)
        }

    def files(self, module: Any) -> Mapping[str, str]:
        """`config.json`, and `generation_config.json` where the model can generate."""
        with self._telling():
            config = copy.deepcopy(module.config)
            config.dtype = self.dtype.name  # never of 8 bits, which the library loads nothing in
            config.architectures = [type(module).__name__]
            text = in_both(config.to_json_string(use_diff=True), type(config))
            found = {"config.json": text}
            if module.can_generate() and getattr(module, "generation_config", None) is not None:
                text = module.generation_config.to_json_string(use_diff=True)
                found["generation_config.json"] = text
            return {name: _plain(text) for name, text in found.items()}

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """While it lasts the library is offline, and whatever it raises a SpecError."""
        try:
            with offline():
                yield
        except (RecursionError, SpecError):
            raise
        except OnlineError as error:
            raise SpecError.at(self.path, f"{self.model.__name__}: {error}") from None
        except Exception as error:  # whatever a constructor or a config raises
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
    """The recipe of the architecture at the path `root`: a config of these fields, and its class.

    `name` is the class's, else `task` says it. Raises SpecError and LimitExceeded.
    """
    path = join(root, "config")
    try:
        with offline():
            config, warnings = config_of(fields, path, max_modules)
            model = class_of(config, root, name=name, task=task)
    except OnlineError as error:
        raise SpecError.at(path, str(error)) from None
    own = BY_TORCH[config.dtype] if isinstance(config.dtype, torch.dtype) else BY_NAME["float32"]
    # PyTorch makes nothing in 8 bits; narrow, it shows which tensors have a dtype of their own.
    made = dtype if dtype is None or dtype.itemsize > 1 else BY_NAME["bfloat16"]
    return TransformersRecipe(config, model, made or own, path, stored=dtype, warnings=warnings)


def _plain(text: str) -> str:
    """JSON text, checked: what a reader of the file takes apart again."""
    json.loads(text)
    return text
