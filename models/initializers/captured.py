"""Names with captured integers filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Used instead of str.format, whose fields reach attributes and ask for any width.
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def filled(name: str, scope: Mapping[str, float | None]) -> str:
    """Return `name` with each `{capture}` replaced by its integer.

    Raises:
        ValueError: For a field that is no captured integer, and for a name that is empty or not
            valid UTF-8.
    """

    def field(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        value = scope.get(found[1]) if found[1] else None
        if value is None or value != int(value):
            raise ValueError(
                f"{found[0]!r} in {name!r} is not a captured integer; captured: "
                f"{sorted(scope)}; write '{{{{' and '}}}}' for braces"
            )
        return str(int(value))

    made = _FIELD.sub(field, name)
    if not made or _SURROGATE.search(made):
        raise ValueError(f"{name!r} cannot name a stream: it is empty or not valid UTF-8")
    return made
