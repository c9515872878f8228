"""What no config may say, whatever its class: code from elsewhere, and trained weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from models.errors import Fault
from models.faults import join

DTYPES = ("float32", "bfloat16", "float16", "float64")

_REMOTE = "code from elsewhere is never run; leave it out"
_QUANTIZED = (
    "quantized weights are made from trained ones, not initialized; leave it out and choose a dtype"
)
_LOADER = "it tells the library's loader to look elsewhere than in the files issued; leave it out"
REFUSED = {
    "auto_map": _REMOTE,
    "trust_remote_code": _REMOTE,
    "quantization_config": _QUANTIZED,
    "compression_config": _QUANTIZED,
    "transformers_weights": _LOADER,
    "fusion_config": "it has the library's loader fuse modules and rename tensors; leave it out",
}
# Fields that can name a kernel on a hub, which is code: `owner/name`.
_IMPLEMENTATIONS = frozenset(
    f"{before}{kind}_implementation{after}"
    for kind in ("attn", "experts")
    for before, after in (("", ""), ("_", ""), ("_", "_internal"))
)
_KERNEL = "a kernel of a hub is code from elsewhere, which is never run; leave it out"
_TRAINED = "trained weights are never loaded; leave it out, or say false"
# Of timm's `create_model`, which these configs and these fields of any config are arguments of.
_TIMM = frozenset({"timm_wrapper", "timm_backbone"})
_TIMM_ARGUMENTS = frozenset({"model_args", "backbone_kwargs"})
_TIMM_WEIGHTS = frozenset(
    {"pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay"}
)


def refused(value: Any, path: str, *, timm: bool = False) -> Iterator[Fault]:
    """What is refused in `value`, at the path `path`, and in all that is inside it.

    `timm`: it holds arguments of timm's `create_model`.
    """
    if isinstance(value, Mapping):
        kind = value.get("model_type")
        timm = timm or (isinstance(kind, str) and kind in _TIMM)
        for key, item in value.items():
            place = join(path, key)
            if kind == "timm_wrapper" and key == "pretrained_cfg":
                continue  # Of timm's own config.json files: there it says what was trained.
            if (reason := _reason(key, item, timm=timm)) is not None:
                yield Fault(place, reason)
            else:
                yield from refused(item, place, timm=key in _TIMM_ARGUMENTS)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from refused(item, join(path, index))


def _reason(key: str, item: Any, *, timm: bool) -> str | None:
    if item is None:
        return None
    if key in ("dtype", "torch_dtype"):
        return None if item in DTYPES else f"no dtype of a model; known: {', '.join(DTYPES)}"
    if item is False:
        return None
    if key in _IMPLEMENTATIONS and _names_kernel(item):
        return _KERNEL
    if key == "use_pretrained_backbone" or (timm and key in _TIMM_WEIGHTS):
        return _TRAINED
    return REFUSED.get(key)


def _names_kernel(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_names_kernel(item) for item in value.values())
    if isinstance(value, list):
        return any(_names_kernel(item) for item in value)
    return isinstance(value, str) and "/" in value
