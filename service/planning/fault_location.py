"""Location of the field of a spec that made a constructor attempt a forbidden action."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from seedpoint.models.spec.faults import join

_LEAST = 3  # Characters of the shortest text to match; shorter ones match by chance.


def blamed(document: Any, target: str, default: str) -> tuple[str, str]:
    """Return the path of the field whose text is in `target` (or `default`), and `target`.

    A file of the server is shortened to its last part, unless the spec names it or its folder.
    """
    texts = list(_texts(document))
    found = [(len(text), path) for path, text in texts if text in target]
    path = max(found)[1] if found else default
    named = {text for _, text in texts}
    if not os.path.isabs(target) or target in named or os.path.dirname(target) in named:
        return path, target
    return path, os.path.basename(target)


def _texts(document: Any) -> Iterator[tuple[str, str]]:
    """Yield the path and the name in each string of the architecture, without a `scheme:`."""
    architecture = document.get("architecture") if isinstance(document, dict) else None
    left = [("architecture", architecture)]
    while left:
        path, value = left.pop()
        if isinstance(value, dict):
            left += ((join(path, key), item) for key, item in value.items())
        elif isinstance(value, list):
            left += ((join(path, index), item) for index, item in enumerate(value))
        elif isinstance(value, str):
            named = value.partition(":")[2] or value
            yield from ((path, text) for text in _spellings(named) if len(text) >= _LEAST)


def _spellings(name: str) -> Iterator[str]:
    yield name.rstrip("/")
    if "/" in name.strip("/"):  # The spelling of a repository in the Hub's cache.
        yield name.replace("/", "--")
