"""Parts of regular expressions that Python's `re` has from version 3.11 on."""

from __future__ import annotations

import re
import sys

NEW = sys.version_info >= (3, 11)
ATOMIC = "_atomic_"
"""Beginning of the names of the groups that stand for atomic ones before Python 3.11."""


def atomic(expression: str, number: int) -> str:
    """Return a group that matches `expression` once and never again in another way.

    No other atomic group of the whole expression has the same `number`.
    """
    if NEW:
        return f"(?>{expression})"
    # A lookahead is never entered twice, and the reference takes the text that it found.
    return f"(?=(?P<{ATOMIC}{number}>{expression}))(?P={ATOMIC}{number})"


def possessive(expression: str) -> str:
    """Return an expression with possessive quantifiers (`*+`, `++`) as this Python has it.

    Before Python 3.11 the quantifiers backtrack, and `++`, which then must stand alone inside a
    repeated group, matches one character: the match is the same, and takes more memory.
    """
    return expression if NEW else re.sub(r"\]\+\+", "]", re.sub(r"([*?}])\+", r"\1", expression))
