"""Initialized checkpoints as pure functions of a spec.

    import seedpoint

    checkpoint = seedpoint.Checkpoint.from_spec(document)  # planned; nothing is generated yet
    checkpoint.files                                       # {"model.safetensors": 1049728}
    checkpoint.read("model.safetensors", 0, 4096)          # any byte range, generated on demand
    checkpoint.write("weights/")                           # every file, on all cores
    seedpoint.load_into(module, checkpoint)                # in place, and only a rank's own shards
    seedpoint.verify("weights/")                           # generated again and compared

Importing `seedpoint` imports nothing else; a name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seedpoint.checkpoint import Checkpoint, verify
    from seedpoint.models.errors import ModuleMismatch, PlatformMismatch, SpecError
    from seedpoint.models.plan.plan import Plan
    from seedpoint.models.ranks.load import LoadedKeys
    from seedpoint.models.spec.schema import Spec, json_schema, parse_spec
    from seedpoint.models.verify.findings import Report, Sample
    from seedpoint.models.verify.header import FileFault
    from seedpoint.ranks import load_into, state_dict, tensor

__all__ = [
    "Checkpoint",
    "FileFault",
    "LoadedKeys",
    "ModuleMismatch",
    "Plan",
    "PlatformMismatch",
    "Report",
    "Sample",
    "Spec",
    "SpecError",
    "json_schema",
    "load_into",
    "parse_spec",
    "state_dict",
    "tensor",
    "verify",
]

_MODULES = {
    "Checkpoint": "checkpoint",
    "FileFault": "models.verify.header",
    "LoadedKeys": "models.ranks.load",
    "ModuleMismatch": "models.errors",
    "Plan": "models.plan.plan",
    "PlatformMismatch": "models.errors",
    "Report": "models.verify.findings",
    "Sample": "models.verify.findings",
    "Spec": "models.spec.schema",
    "SpecError": "models.errors",
    "json_schema": "models.spec.schema",
    "load_into": "ranks",
    "parse_spec": "models.spec.schema",
    "state_dict": "ranks",
    "tensor": "ranks",
    "verify": "checkpoint",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
