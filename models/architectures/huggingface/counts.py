"""Bounds of the fields that count layers, labels and the like, by their names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from seedpoint.models.errors import LimitExceeded, SpecError
from seedpoint.models.validation.faults import join

_MAX_LABELS = 1_000_000  # the names of more labels would fill any plan
# Fields that count modules.
_COUNT = re.compile(r"(num|n)_.*(layer|block|stage|expert)s?|[a-z]_layers?|depths?")


def check_counts(value: Any, path: str, most: int) -> None:
    """Refuse counts that are too small or too large, before a list of that length is made.

    `value` is a config at `path`, or a value in one; at most `most` modules are allowed.

    Raises:
        SpecError: For a negative count, and for an empty vocabulary.
        LimitExceeded: For too many modules or labels.
    """
    if not isinstance(value, Mapping):
        return
    for key, item in value.items():
        place = join(path, key)
        for count in item if isinstance(item, list) else [item]:
            if isinstance(count, int) and count < _least(key):
                raise SpecError.at(place, f"expected at least {_least(key):.0f}, not {count}")
            if _COUNT.fullmatch(key) and isinstance(count, int) and count > most:
                message = f"{count} modules are too many; at most {most} are allowed"
                raise LimitExceeded.at(place, message)
        if key == "num_labels" and isinstance(item, int) and item > _MAX_LABELS:
            message = f"{item} labels are too many; at most {_MAX_LABELS} are allowed"
            raise LimitExceeded.at(place, message)
        check_counts(item, place, most)


def _least(key: str) -> float:
    """Return the least value of a field of this name, -inf if the field is not a count."""
    if key == "vocab_size":
        return 1
    return 0 if key == "num_labels" or _COUNT.fullmatch(key) else -math.inf
