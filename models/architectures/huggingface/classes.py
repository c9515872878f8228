"""Choice of the library's model class for a config."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from seedpoint.models.architectures.huggingface.tasks import TASKS
from seedpoint.models.errors import SpecError
from seedpoint.models.validation.faults import join
from seedpoint.models.validation.hints import one_of


def class_of(config: Any, path: str, *, name: str | None, task: str | None) -> Any:
    """Return the model class for a config; `path` is the architecture's place in the spec.

    The first of these decides: `name`, the config's `architectures`, `task`, the base model.

    Raises:
        SpecError: If there is no such class.
    """
    if name is not None:
        return _named(name, config, join(path, "class"))
    if config.architectures:
        place = join(path, "config", "architectures", 0)
        return _named(config.architectures[0], config, place)
    if task is not None:
        if (found := _mapped(TASKS[task], config)) is None:
            known = ", ".join(names_for(config))
            message = f"{config.model_type!r} has no model for {task}; its classes: {known}"
            raise SpecError.at(join(path, "task"), message)
        return _imported(found, config)
    if (found := _mapped("MODEL_MAPPING_NAMES", config)) is not None:
        return _imported(found, config)
    names = names_for(config)
    known = (
        f"name its class; known: {', '.join(names)}"
        if names
        else "it is only a part of other models"
    )
    message = f"{config.model_type!r} has no base model; {known}"
    raise SpecError.at(join(path, "config", "model_type"), message)


def names_for(config: Any) -> list[str]:
    """Return every class that the library's tables list for the config's model type."""
    from transformers.models.auto import modeling_auto

    tables = (name for name in vars(modeling_auto) if name.endswith("_MAPPING_NAMES"))
    found: dict[str, None] = {}
    for table in tables:
        entry = getattr(modeling_auto, table).get(config.model_type)
        for name in (entry,) if isinstance(entry, str) else entry or ():
            if not name.endswith("Config"):
                found[name] = None
    return list(found)


def _mapped(table: str, config: Any) -> str | None:
    from transformers.models.auto import modeling_auto

    entry = getattr(modeling_auto, table).get(config.model_type)
    if isinstance(entry, str) or entry is None:
        return entry
    return str(entry[0])


def _named(name: Any, config: Any, path: str) -> Any:
    from transformers import PreTrainedModel

    known = names_for(config)
    if not isinstance(name, str):
        raise SpecError.at(path, "expected the name of a class")
    cls = _imported(name, config) if name.isidentifier() else None
    if not (isinstance(cls, type) and issubclass(cls, PreTrainedModel)):
        raise SpecError.at(path, f"transformers has no model {name!r}; {one_of(name, known)}")
    takes = cls.config_class
    if name not in known and takes is not None and not isinstance(config, takes):
        message = f"{name} takes a {takes.__name__}, not a {type(config).__name__}"
        raise SpecError.at(path, f"{message}; classes for it: {', '.join(known)}")
    return cls


def _imported(name: str, config: Any) -> Any:
    """Return the class `name` of the library, or of the config's modeling module, or None."""
    import transformers

    module = type(config).__module__.replace("configuration_", "modeling_")
    try:
        found = getattr(transformers, name, None)
        return getattr(import_module(module), name, None) if found is None else found
    except (ImportError, RuntimeError):
        return None
