"""Names that expressions may use, for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from seedpoint.service.report.formatting import printable

if TYPE_CHECKING:
    from seedpoint.models.planning.expression_names import ExpressionNames

SHOWN_VALUES = 4  # different values of a name that are listed; the rest are left out

Json = Mapping[str, Any]


def lines(names: ExpressionNames, tensors: list[Json]) -> Iterator[str]:
    """Yield a line for each source of names: tensors, constants, configs, classes of layers."""
    document = names.document()
    yield f"names in expressions: {', '.join(document['everywhere'])}"
    if names.constants:
        yield f"  init.constants: {_listed(document['constants'])}"
    for module, numbers in names.configs.items():
        yield printable(f"  config{f' of {module}' if module else ''}: {_listed(numbers)}")
    for layer, values in _by_class(names, tensors).items():
        yield printable(f"  {layer}: {', '.join(map(_with_values, values.items()))}")


def _by_class(
    names: ExpressionNames, tensors: list[Json]
) -> dict[str, dict[str, dict[float, None]]]:
    """Return the different values of each name, by the class of the layers."""
    found: dict[str, dict[str, dict[float, None]]] = {}
    for tensor in tensors:
        for name, value in names.layers[tensor["name"]].items():
            found.setdefault(tensor["module"], {}).setdefault(name, {})[value] = None
    return found


def _listed(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={_number(value)}" for name, value in numbers.items())


def _with_values(item: tuple[str, dict[float, None]]) -> str:
    name, values = item
    shown = [_number(value) for value in list(values)[:SHOWN_VALUES]]
    return f"{name}={'|'.join(shown)}{'|...' if len(values) > SHOWN_VALUES else ''}"


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
