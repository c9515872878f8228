"""Conversion of a spec's `config` to a config object of the library, or to all its faults."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seedpoint.models.architectures.forbidden_arguments import REFUSED, refused
from seedpoint.models.architectures.huggingface.config_values import decoded, widened
from seedpoint.models.architectures.huggingface.counts import check_counts
from seedpoint.models.architectures.huggingface.fields import fields_of, sub_class
from seedpoint.models.architectures.huggingface.published_fields import is_published
from seedpoint.models.architectures.huggingface.unknown_fields import (
    is_misspelled,
    is_reserved,
    is_settable,
    told,
)
from seedpoint.models.architectures.torch_errors import message_of
from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.validation.faults import join
from seedpoint.models.validation.hints import one_of

_RESERVED = "has no such field: the class itself defines this attribute; leave it out"
_ALONE = "it is kept unchecked in config.json"
# Model types whose `_init_weights` divides the weights in place even if they were loaded; other
# models with the field (nemotron_h) leave loaded weights alone.
_RESCALED = frozenset({"mamba", "mamba2", "falcon_mamba"})
_RESCALED_AGAIN = (
    "the files hold the rescaled weights, and from_pretrained divides out_proj.weight of each "
    "layer by sqrt(num_hidden_layers) once more; set it to false in config.json before loading"
)
# Types of the fields that every config has; no class of the library checks them.
_TYPES: dict[str, type] = {
    **dict.fromkeys(("is_encoder_decoder", "output_hidden_states", "return_dict"), bool),
    **dict.fromkeys(("chunk_size_feed_forward", "num_labels"), int),
    **dict.fromkeys(("transformers_version", "problem_type"), str),
    **dict.fromkeys(("id2label", "label2id"), dict),
    "architectures": list,
}
_MAX_WARNINGS = 8  # fields listed; the rest are counted
# The field in an error message of the library.
_FIELD = re.compile(r"for field '(\w+)'")


def config_of(
    document: Mapping[str, Any], path: str, max_modules: int
) -> tuple[Any, tuple[Fault, ...]]:
    """Return the config object of `document`, whose place in the spec is `path`, and its warnings.

    Raises:
        SpecError: With every fault that is found.
        LimitExceeded: For counts of layers above `max_modules`, and for too many labels.
    """
    faults = list(refused(document, path))
    if faults:
        raise SpecError(faults)
    cls = _class_of(document, path)
    document = told(decoded(document), cls)
    # The library may have written the config in any version, so unknown fields that are not
    # misspelled give warnings only.
    written = bool(document.get("transformers_version"))
    unknown = list(_unknown(document, cls, path, written=written))
    faults = [fault for fault, is_wrong in unknown if is_wrong]
    faults += _mistyped(document, cls, path)
    if faults:
        raise SpecError(faults)
    check_counts(document, path, max_modules)
    config = _made(document, cls, path)
    warnings = _warnings([fault for fault, _ in unknown], path)
    return config, (*warnings, *_rescaled(config, path))


def _rescaled(config: Any, path: str) -> Iterator[Fault]:
    """Yield warnings for configs whose models the library rescales while it loads them."""
    if config.model_type in _RESCALED and config.rescale_prenorm_residual:
        yield Fault(join(path, "rescale_prenorm_residual"), _RESCALED_AGAIN)
    for name in config.sub_configs:
        if (inner := getattr(config, name, None)) is not None:
            yield from _rescaled(inner, join(path, name))


def _class_of(document: Mapping[str, Any], path: str) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = document.get("model_type")
    if kind is None:
        raise SpecError.at(join(path, "model_type"), "missing; it selects the config class")
    if not isinstance(kind, str):
        raise SpecError.at(join(path, "model_type"), "expected a string")
    if kind not in CONFIG_MAPPING:
        known = sorted(CONFIG_MAPPING)
        raise SpecError.at(
            join(path, "model_type"), f"unknown model type {kind!r}; {one_of(kind, known)}"
        )
    return CONFIG_MAPPING[kind]


def _unknown(
    document: Mapping[str, Any], cls: Any, path: str, *, written: bool
) -> Iterator[tuple[Fault, bool]]:
    """Yield a fault for each field that a config class does not know, and whether it is an error.

    `written` means that the library wrote the config, or that it is nested in another. Published
    configs carry fields of other versions, and nested ones carry fields of other classes (a vision
    model's `vocab_size`). In these, only misspellings and names that the class itself defines are
    errors.
    """
    from transformers import __version__

    known = fields_of(cls)
    for key, value in document.items():
        place = join(path, key)
        if (inner := sub_class(cls, key, value)) is not None:
            yield from _unknown(value, inner, place, written=True)
        elif is_reserved(cls, key):
            yield Fault(place, f"{cls.__name__} {_RESERVED}"), True
        elif key in known or key in REFUSED or is_published(key, cls) or is_settable(cls, key):
            continue
        elif not written or is_misspelled(key, known):
            yield Fault(place, f"{cls.__name__} has no such field; {one_of(key, known)}"), True
        else:
            message = f"{cls.__name__} of transformers {__version__} has no such field; {_ALONE}"
            yield Fault(place, message), False


def _warnings(found: Sequence[Fault], path: str) -> tuple[Fault, ...]:
    if (more := len(found) - _MAX_WARNINGS) <= 0:
        return tuple(found)
    return (*found[:_MAX_WARNINGS], Fault(path, f"and {more} more such fields"))


def _mistyped(document: Mapping[str, Any], cls: Any, path: str) -> Iterator[Fault]:
    """Yield a fault for each wrong type in the fields of every config; the library accepts it."""
    for key, value in document.items():
        if (inner := sub_class(cls, key, value)) is not None:
            yield from _mistyped(value, inner, join(path, key))
        elif key in _TYPES and value is not None and type(value) is not _TYPES[key]:
            expected, found = _TYPES[key].__name__, type(value).__name__
            yield Fault(join(path, key), f"Field {key!r} expected {expected}, got {found}")


def _made(document: Mapping[str, Any], cls: Any, path: str) -> Any:
    """Return the config object.

    Nested configs are made first, so that their faults have a place.
    """
    for key, value in document.items():
        if (inner := sub_class(cls, key, value)) is not None:
            _made(value, inner, join(path, key))
    left_out = {"model_type", *REFUSED}  # only their values `false` and `null` get here
    arguments = {key: value for key, value in document.items() if key not in left_out}
    try:
        # The library modifies the objects that it is given, e.g. `rope_scaling`.
        return cls(**widened(copy.deepcopy(arguments), cls))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a config's own checks may raise anything
        raise SpecError.at(*_told(error, document, cls, path)) from None


def _told(error: Exception, document: Mapping[str, Any], cls: Any, path: str) -> tuple[str, str]:
    """Return the place of a config's error and its message in one line."""
    lines = str(error).strip().splitlines()
    field = _FIELD.search(lines[0]) if lines else None
    if field is not None:
        text = lines[-1].strip().partition(": ")[2] or lines[-1].strip()
        name = field[1]
        other = next((key for key, value in cls.attribute_map.items() if value == name), name)
        key = name if name in document or other not in document else other
        return join(path, key), text
    if lines and lines[0].startswith("Class validation error") and len(lines) > 1:
        return path, lines[1].strip().partition(": ")[2]
    return path, f"{cls.__name__}: {message_of(error).removeprefix('torch: ')}"
