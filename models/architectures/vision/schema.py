"""Schema of timm and torchvision models in a spec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from seedpoint.models.architectures.base import Name
from seedpoint.models.architectures.external_models import Foreign, Recipe
from seedpoint.models.architectures.opaque_json import exact
from seedpoint.models.dtypes import DType

Arguments = Annotated[dict[Name, Any], AfterValidator(exact)]


class Timm(Foreign):
    """Model of timm, by name."""

    type: Literal["timm"]
    model: Name = Field(
        description="Model name for `timm.create_model`, with or without a tag; never a location "
        "on a hub or a disk.",
        examples=["resnet18"],
    )
    args: Arguments = Field(
        default={},
        description="Further arguments of `timm.create_model`, except those that load weights.",
        examples=[{"num_classes": 10, "in_chans": 1}],
    )

    def recipe(self, root: str, *, dtype: DType | None, max_modules: int) -> Recipe:
        """Return the recipe of the model and its arguments.

        Raises:
            SpecError: If the name or an argument is refused, or timm is not installed.
        """
        from seedpoint.models.architectures.optional_libraries import require

        require("timm", root)
        from seedpoint.models.architectures.vision.timm_models import TimmRecipe

        return TimmRecipe.of(self.model, self.args, root, max_modules)


class Torchvision(Foreign):
    """Model of torchvision, by name."""

    type: Literal["torchvision"]
    model: Name = Field(
        description="Model name for `torchvision.models.get_model`.", examples=["resnet18"]
    )
    args: Arguments = Field(
        default={},
        description="Further arguments of the model's builder, except those that load weights.",
        examples=[{"num_classes": 10}],
    )

    def recipe(self, root: str, *, dtype: DType | None, max_modules: int) -> Recipe:
        """Return the recipe of the model and its arguments.

        Raises:
            SpecError: If the name or an argument is refused, or torchvision is not installed.
        """
        from seedpoint.models.architectures.optional_libraries import require

        require("torchvision", root)
        from seedpoint.models.architectures.vision.torchvision_models import TorchvisionRecipe

        return TorchvisionRecipe.of(self.model, self.args, root, max_modules)
