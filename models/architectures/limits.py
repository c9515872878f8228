"""Limits on the size of an architecture, and on the nesting of its document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seedpoint.models.errors import SpecError
from seedpoint.models.validation.faults import join

# Largest exact JSON integer (RFC 8785 section 3.2.2.3, ECMAScript's MAX_SAFE_INTEGER).
MAX_INTEGER = 2**53 - 1
MAX_ELEMENTS = 2**53 - 1  # per tensor; at 8 bytes each far below 2^63 - 1 bytes
MAX_TENSOR_DIMS = 64  # the maximum of torch's TensorIterator
MAX_MODULES = 100_000
MAX_LAYER_DEPTH = 64  # layers nested in one another
MAX_DOCUMENT_DEPTH = 4 * MAX_LAYER_DEPTH  # lists and objects nested in one another


def check_depth(document: Any, root: str = "") -> None:
    """Refuse a document too deep for recursive code; the check itself does not recurse.

    At most 64 layers (objects with a `type`) and at most 256 lists and objects may be nested in one
    another. `root` is the path of `document`.

    Raises:
        SpecError: At the first object that is too deep.
    """
    levels: list[tuple[Iterator[tuple[Any, Any]], int]] = [(iter(((None, document),)), 0)]
    keys: list[Any] = [None]  # keys that lead to the current value, one for each level
    while levels:
        items, layers = levels[-1]
        for key, value in items:
            if not isinstance(value, dict | list | tuple):
                continue
            keys[-1] = key
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            around = layers + (isinstance(value, dict) and "type" in value)
            if problem := _too_deep(around, len(levels) - 1):
                raise SpecError.at(join(root, *keys[1:]), problem)
            levels.append((iter(inner), around))
            keys.append(None)
            break
        else:
            levels.pop()
            keys.pop()


def _too_deep(layers: int, depth: int) -> str | None:
    if layers > MAX_LAYER_DEPTH:
        return f"nested too deep; at most {MAX_LAYER_DEPTH} layers"
    if depth >= MAX_DOCUMENT_DEPTH:
        return f"nested too deep; at most {MAX_DOCUMENT_DEPTH} levels"
    return None


def numel(shape: tuple[int, ...]) -> int:
    """Return the exact number of elements of a tensor of `shape`."""
    product = 1
    for size in shape:
        product *= size
    return product
