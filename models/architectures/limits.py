"""What a caller's architecture may not exceed, and how deep its document may nest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seedpoint.models.errors import SpecError
from seedpoint.models.spec.faults import join

# JSON numbers are exact up to here (RFC 8785 section 3.2.2.3, ECMAScript's MAX_SAFE_INTEGER).
MAX_INTEGER = 2**53 - 1
MAX_ELEMENTS = 2**53 - 1  # of one tensor; at 8 bytes each still far below 2^63 - 1 bytes
MAX_TENSOR_DIMS = 64  # torch's TensorIterator takes no more
MAX_MODULES = 100_000
MAX_LAYER_DEPTH = 64
MAX_DOCUMENT_DEPTH = 4 * MAX_LAYER_DEPTH


def check_depth(document: Any, root: str = "") -> None:
    """Refuses a document too deep for recursive code; itself it does not recurse.

    A layer (or any object with a `type`) may stand inside at most 63 others, a value inside
    at most 256 lists and objects. `root` is the path of `document`. Raises SpecError, at the
    first object too deep.
    """
    levels: list[tuple[Iterator[tuple[Any, Any]], int]] = [(iter(((None, document),)), 0)]
    keys: list[Any] = [None]  # On the way to what is looked at, one a level.
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
    """The number of elements of a tensor of `shape`, exact."""
    product = 1
    for size in shape:
        product *= size
    return product
