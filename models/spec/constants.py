"""Named numbers of a spec, which may be expressions over each other."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from seedpoint.models.validation import expressions


class ConstantError(ValueError):
    """Constant without a value; `name` is its name."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def constant_values(constants: Mapping[str, int | float | str]) -> dict[str, int | float]:
    """Return the numbers that `constants` stand for; their order carries no meaning.

    Raises:
        ConstantError: For an expression without a value, or constants that need each other.
    """
    needs = {
        name: sorted(expressions.names(value)) if isinstance(value, str) else []
        for name, value in constants.items()
    }
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        around = error.args[1]
        raise ConstantError(around[0], f"needs itself: {' <- '.join(around)}") from None
    values: dict[str, int | float] = {}
    for name in order:
        if name not in constants:
            continue
        value = constants[name]
        if outside := [need for need in needs[name] if need not in constants]:
            raise ConstantError(
                name,
                f"unknown name '{outside[0]}'; a constant may name other constants only, and an "
                "argument of an initializer also fans and numbers of the layer",
            )
        try:
            values[name] = expressions.evaluate(value, values) if isinstance(value, str) else value
        except expressions.ExpressionError as error:
            raise ConstantError(name, str(error)) from None
    return values
