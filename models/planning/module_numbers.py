"""Numbers of modules and of their model's config, which expressions may name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import nn

Numbers = Mapping[str, int | float]


@dataclass(frozen=True)
class ModuleNumbers:
    """Numbers of one module's constructor (`in_features`) and of its config (`hidden_size`)."""

    layer: Numbers = field(default_factory=dict)
    config: Numbers = field(default_factory=dict)

    @cached_property
    def groups(self) -> int | None:
        """Groups of a convolution; None for any other module."""
        groups = self.layer.get("groups")
        return groups if isinstance(groups, int) else None

    @cached_property
    def by_name(self) -> Numbers:
        """All numbers; those of the layer hide those of the config."""
        return {**self.config, **self.layer}

    def over(self, other: ModuleNumbers) -> ModuleNumbers:
        """Return both, those of this module hiding those of the other."""
        if not other.layer and not other.config:
            return self
        return ModuleNumbers({**other.layer, **self.layer}, {**other.config, **self.config})


NO_NUMBERS = ModuleNumbers()


@dataclass(frozen=True, slots=True)
class ExpressionNames:
    """Names that expressions may hold: numbers of layers by class, and of configs by module.

    The module of a config is the outermost that has it, empty for the whole architecture.
    """

    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    configs: Mapping[str, Numbers] = field(default_factory=dict)

    @classmethod
    def of(
        cls, numbers: Mapping[str, ModuleNumbers], class_of: Callable[[str], str]
    ) -> ExpressionNames:
        """Return the names of modules by their dotted names; parents come before children."""
        layers: dict[str, dict[str, None]] = {}
        configs: dict[str, Numbers] = {}
        for module, found in numbers.items():
            if found.layer:
                layers.setdefault(class_of(module), {}).update(dict.fromkeys(found.layer))
            if found.config and not any(found.config is known for known in configs.values()):
                configs[module] = found.config
        return cls({name: tuple(names) for name, names in layers.items()}, configs)


def module_numbers(modules: Mapping[str, nn.Module]) -> Mapping[str, ModuleNumbers]:
    """Return the numbers of each module by its dotted name; parents come before children.

    A module without a config of its own has that of the nearest module above it.
    """
    found: dict[str, ModuleNumbers] = {}
    configs: dict[int, Numbers] = {}
    for name, module in modules.items():
        above = NO_NUMBERS if not name else found.get(name.rpartition(".")[0], NO_NUMBERS)
        config: Any = getattr(module, "config", None)
        numbers = above.config
        if callable(getattr(config, "to_dict", None)):
            if id(config) not in configs:
                configs[id(config)] = _of_config(config)
            numbers = configs[id(config)]
        found[name] = ModuleNumbers(_numbers(vars(module).items()), numbers)
    return found


def _of_config(config: Any) -> Numbers:
    """Return a config's numbers under the names of its fields and under the library's own."""
    fields = dict(config.to_dict())
    mapped = getattr(config, "attribute_map", None) or {}
    return _numbers([(name, fields.get(given)) for name, given in mapped.items()]) | _numbers(
        fields.items()
    )


def _numbers(attributes: Iterable[tuple[str, Any]]) -> dict[str, int | float]:
    return {
        name: value
        for name, value in attributes
        if type(value) in (int, float)
        and name.isidentifier()
        and not name.startswith("_")
        and math.isfinite(value)
        and abs(value) < 2**1023
    }
