"""Names that the expressions of a spec may use, with their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seedpoint.models.planning.module_numbers import NO_NUMBERS, Numbers
from seedpoint.models.planning.record_architecture import Structure
from seedpoint.models.spec.constants import constant_values
from seedpoint.models.spec.schema import Spec

EVERYWHERE = ("fan_in", "fan_out", "ndim", "numel")
"""Names that every tensor gives a value."""


@dataclass(frozen=True, slots=True)
class ExpressionNames:
    """Names beside EVERYWHERE and the captures of rules.

    `constants` are those of `init.constants`; `configs` the numbers of models' configs by the
    dotted name of the model, for its tensors; `layers` the numbers of the layer of each tensor, by
    the tensor's name. Numbers of a layer hide those of a config, and constants hide both.
    """

    constants: Mapping[str, float]
    configs: Mapping[str, Numbers]
    layers: Mapping[str, Numbers]

    def document(self) -> dict[str, Any]:
        """Return the names as JSON, without those of layers."""
        return {
            "everywhere": list(EVERYWHERE),
            "constants": dict(self.constants),
            "configs": {name: dict(numbers) for name, numbers in self.configs.items()},
        }


def expression_names(spec: Spec, structure: Structure) -> ExpressionNames:
    """Return the names for the rules of `spec` over its recorded architecture."""
    configs: dict[str, Numbers] = {}
    for name, numbers in structure.numbers.items():
        above = structure.numbers.get(name.rpartition(".")[0], NO_NUMBERS) if name else NO_NUMBERS
        if numbers.config and numbers.config != above.config:
            configs[name] = numbers.config
    layers = {tensor.name: structure.numbers_of(tensor).layer for tensor in structure.tensors}
    return ExpressionNames(constant_values(spec.init.constants), configs, layers)
