"""Recipe of a torchvision model as `get_model` makes it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from seedpoint.models.architectures.vision.building import check_arguments, constructed
from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.validation.faults import join
from seedpoint.models.validation.hints import one_of

_BACKBONE = "weights_backbone"


@dataclass(frozen=True, slots=True)
class TorchvisionRecipe:
    """Checked name and arguments of a torchvision model; see `external_models.Recipe`."""

    model: str
    args: Mapping[str, Any]
    root: str
    dtype: DType = BY_NAME["float32"]
    wide: DType = BY_NAME["float32"]
    warnings: tuple[Fault, ...] = ()

    @classmethod
    def of(
        cls, model: str, args: Mapping[str, Any], root: str, max_modules: int
    ) -> TorchvisionRecipe:
        """Return the recipe of the architecture at the path `root`.

        Raises:
            SpecError: If the name or an argument is refused.
            LimitExceeded: If an argument counts more than `max_modules` layers.
        """
        from torchvision.models import list_models

        if model not in list_models():
            near = one_of(model, list_models())
            message = f"torchvision has no model {model!r}; {near}"
            raise SpecError.at(join(root, "model"), message)
        check_arguments(args, join(root, "args"), library="torchvision", max_modules=max_modules)
        return cls(model, args, root)

    @property
    def path(self) -> str:
        """Place of the model's name in the spec."""
        return join(self.root, "model")

    def make(self, dtype: DType) -> nn.Module:
        """Return `torchvision.models.get_model(model, weights=None, **args)`.

        `weights_backbone` is None as well if the builder takes it.
        """
        from torchvision.models import get_model, get_model_builder

        taken = inspect.signature(get_model_builder(self.model)).parameters
        no_weights = {name: None for name in ("weights", _BACKBONE) if name in taken}

        def make() -> nn.Module:
            made: nn.Module = get_model(self.model, **no_weights, **copy.deepcopy(dict(self.args)))
            return made

        return constructed(make, self.root, self.args)

    def dtypes(self, module: nn.Module, names: Mapping[str, DType]) -> Mapping[str, DType]:
        """Return nothing: torchvision has no dtype policy of its own."""
        return {}

    def files(self, module: nn.Module) -> Mapping[str, str]:
        """Return nothing: torchvision reads only weights."""
        return {}
