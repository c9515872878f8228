"""Models of other libraries inside a tree: their recipes, construction and dtypes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from seedpoint.models.architectures.construction_limit import at_most
from seedpoint.models.architectures.external_models import Foreign, Recipe
from seedpoint.models.architectures.tree import Node
from seedpoint.models.dtypes import DType

Make = Callable[[Recipe], nn.Module]


@dataclass(slots=True)
class LibraryModels:
    """Recipes of a tree's library models by the path of their node, and how they are made.

    `place` is the path of the model in construction, empty outside one: a failure that no model
    reports itself belongs there.
    """

    recipes: Mapping[str, Recipe]
    make_one: Make
    max_modules: int
    place: str = ""
    sizes: dict[str, int] = field(default_factory=dict)

    def make(self, node: Node) -> nn.Module:
        """Return a new model of the node, and note the number of its modules."""
        recipe = self.recipes[node.path]
        self.place = recipe.path
        with at_most(self.max_modules, recipe.path):
            module = self.make_one(recipe)
        self.sizes[node.path] = sum(1 for _ in module.named_modules(remove_duplicate=False))
        self.place = ""
        return module


def recipes_of(tree: Node, *, dtype: DType | None, max_modules: int) -> dict[str, Recipe]:
    """Return the recipe of each library model of a tree, by the path of its node.

    Raises:
        SpecError: If a model is invalid or its library is not installed.
        LimitExceeded: For counts of layers above `max_modules`.
    """
    return {
        node.path: node.layer.recipe(node.path, dtype=dtype, max_modules=max_modules)
        for node in tree.walk()
        if isinstance(node.layer, Foreign)
    }
