"""Arguments and config fields that a spec may not pass to another library.

A field is refused at every depth: in a config, in a nested config, and in arguments passed on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from seedpoint.models.errors import Fault
from seedpoint.models.spec.faults import join

DTYPES = ("float32", "bfloat16", "float16", "float64")

_REMOTE = "remote code is never run; leave it out"
_QUANTIZED = (
    "quantized weights are made from trained ones, not initialized; leave it out and choose a dtype"
)
_LOADER = "it makes the library's loader read other files than the issued ones; leave it out"
_TRAINED = "trained weights are never loaded; leave it out or set it to false"
WEIGHTS = "it is for trained weights, which are never loaded; leave it out"
PLACEMENT = "the spec decides dtype and device; leave it out"
_PLACE = "is a location on a hub or a disk, which is never read"
_KERNEL = "a kernel from a hub is remote code, which is never run; leave it out"

# Fields of all libraries that are refused unless false or null: name -> reason.
REFUSED: Mapping[str, str] = {
    "auto_map": _REMOTE,
    "trust_remote_code": _REMOTE,
    "quantization_config": _QUANTIZED,
    "compression_config": _QUANTIZED,
    "transformers_weights": _LOADER,
    "fusion_config": "it makes the library's loader fuse modules and rename tensors; leave it out",
}
# Arguments of `timm.create_model`: always refused as arguments of a timm model; refused unless
# false or null in the transformers configs and fields that pass them on.
TIMM: Mapping[str, str] = {
    **dict.fromkeys(("pretrained", "pretrained_cfg", "pretrained_cfg_overlay"), WEIGHTS),
    **dict.fromkeys(("pretrained_model_args", "pretrained_strict", "checkpoint_path"), WEIGHTS),
    **dict.fromkeys(("pretrained_filter_fn", "pretrained_custom_load", "cache_dir"), WEIGHTS),
    **dict.fromkeys(("device", "dtype"), PLACEMENT),
}
# Arguments of torchvision's builders that are always refused.
TORCHVISION: Mapping[str, str] = {
    **dict.fromkeys(("weights", "weights_backbone", "pretrained", "pretrained_backbone"), WEIGHTS),
    "progress": WEIGHTS,
    "quantize": "quantized weights are made from trained ones, not initialized; leave it out",
}
_ARGUMENTS: Mapping[str, Mapping[str, str]] = {"timm": TIMM, "torchvision": TORCHVISION}
# Model types and fields of transformers that hold arguments of `timm.create_model`.
_TIMM_CONFIGS = frozenset({"timm_wrapper", "timm_backbone"})
_TIMM_ARGUMENTS = frozenset({"model_args", "backbone_kwargs"})
# Fields that can name a kernel on a hub (`owner/name`), which is remote code.
_IMPLEMENTATIONS = frozenset(
    f"{before}{kind}_implementation{after}"
    for kind in ("attn", "experts")
    for before, after in (("", ""), ("_", ""), ("_", "_internal"))
)


def refused_arguments(
    args: Mapping[str, Any], path: str, library: Literal["timm", "torchvision"]
) -> Iterator[Fault]:
    """Yield a fault for each refused argument of a model of `library`; `path` is their place."""
    listed = _ARGUMENTS[library]
    for name, value in args.items():
        place = join(path, name)
        if name in listed:
            yield Fault(place, listed[name])
        else:
            yield from _refused({name: value}, path, timm=library == "timm")


def refused(value: Any, path: str) -> Iterator[Fault]:
    """Yield a fault for each refused field of the transformers config at `path`, at any depth."""
    yield from _refused(value, path, timm=False)


def is_place(name: str) -> bool:
    """Return whether `name` is a location on a hub or a disk, not the plain name of a model."""
    return any(character in name for character in ":/\\")


def _refused(value: Any, path: str, *, timm: bool) -> Iterator[Fault]:
    """Yield a fault for each refused field of `value`, at any depth.

    If `timm` is true, the fields are arguments of `timm.create_model` at every depth.
    """
    if isinstance(value, Mapping):
        kind = value.get("model_type")
        timm = timm or (isinstance(kind, str) and kind in _TIMM_CONFIGS)
        for key, item in value.items():
            place = join(path, key)
            if kind == "timm_wrapper" and key == "pretrained_cfg":
                continue  # timm's own config.json files describe the trained model there
            if (reason := _reason(key, item, timm=timm, config=kind)) is not None:
                yield Fault(place, reason)
            else:
                yield from _refused(item, place, timm=timm or key in _TIMM_ARGUMENTS)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _refused(item, join(path, index), timm=timm)


def _reason(key: str, item: Any, *, timm: bool, config: Any) -> str | None:
    if item is None:
        return None
    if key in ("dtype", "torch_dtype") and not (timm and config is None):
        return None if item in DTYPES else f"not a dtype of a model; known: {', '.join(DTYPES)}"
    if item is False:
        return None
    if key in _IMPLEMENTATIONS and _names_kernel(item):
        return _KERNEL
    if key == "use_pretrained_backbone":
        return _TRAINED
    # Fields that name a model: libraries would look for it on the hub or the disk.
    if isinstance(item, str) and is_place(item):
        if key == "backbone":
            return f"{item!r} {_PLACE}; give its config as backbone_config"
        if key == "architecture" and timm:
            return f"{item!r} {_PLACE}; expected the name of a timm model"
    if timm and (reason := TIMM.get(key)) is not None:
        return _TRAINED if reason == WEIGHTS else reason
    return REFUSED.get(key)


def _names_kernel(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_names_kernel(item) for item in value.values())
    if isinstance(value, list):
        return any(_names_kernel(item) for item in value)
    return isinstance(value, str) and "/" in value
