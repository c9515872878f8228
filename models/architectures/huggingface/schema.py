"""Schema of a transformers model in a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field

from seedpoint.models.architectures.base import Name
from seedpoint.models.architectures.external_models import Foreign, Recipe
from seedpoint.models.architectures.huggingface.tasks import TASKS
from seedpoint.models.architectures.opaque_json import exact
from seedpoint.models.dtypes import DType


class Transformers(Foreign):
    """Model of Hugging Face transformers, by its config."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, populate_by_name=True)

    example: ClassVar[Mapping[str, Any]] = {
        "config": {
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "n_layer": 2,
            "n_embd": 32,
            "n_head": 2,
            "n_positions": 64,
            "vocab_size": 100,
            "bos_token_id": 99,
            "eos_token_id": 99,
        },
    }

    type: Literal["transformers"]
    config: Annotated[dict[Name, Any], AfterValidator(exact)] = Field(
        description="`model_type` and the fields of its config class, as in a `config.json`.",
        examples=[{"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2}],
    )
    class_: Name | None = Field(
        default=None,
        alias="class",
        description="The model's class. By default the one that the config's `architectures` "
        "names, else the one for `task`, else the base model.",
        examples=["GPT2LMHeadModel"],
    )
    task: Literal[tuple(TASKS)] | None = Field(  # type: ignore[valid-type]
        default=None,
        description="Task of the model, which selects its class if nothing else names it.",
    )

    def recipe(self, root: str, *, dtype: DType | None, max_modules: int) -> Recipe:
        """Return the recipe of the config and the model's class.

        Raises:
            SpecError: If the config has faults, has no class, or transformers is not installed.
            LimitExceeded: For counts of layers above `max_modules`, and for too many labels.
        """
        from seedpoint.models.architectures.optional_libraries import require

        require("transformers", root)
        from seedpoint.models.architectures.huggingface.recipe import recipe_of

        return recipe_of(
            self.config,
            root,
            name=self.class_,
            task=self.task,
            dtype=dtype,
            max_modules=max_modules,
        )
