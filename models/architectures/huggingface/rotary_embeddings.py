"""Fields of rotary embeddings in config.json, for both major versions of the library.

Version 5 keeps all of them in `rope_parameters`. Version 4 does not know that field: it reads
`rope_theta`, `rope_scaling` and similar fields, and uses its own defaults if these are missing.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

# Model types with fields of their own for rotary embeddings.
GPT_NEOX = ("gpt_neox", "gpt_neox_japanese")
GEMMA3 = ("gemma3_text", "gemma3n_text")
MODERNBERT = ("modernbert", "modernbert-decoder")

# Model types for which version 4 requires exactly `type` and these fields in `rope_scaling`.
EXACTLY = {
    **dict.fromkeys(("phi3", "phi4_multimodal"), ("short_factor", "long_factor")),
    **dict.fromkeys(("chameleon", "hunyuan_v1_moe"), ("factor",)),
}

# Attention types: keys of `rope_parameters` in a model with two rotary embeddings.
GLOBAL, LOCAL = "full_attention", "sliding_attention"

FIELDS = frozenset(
    {
        *("rope_theta", "rope_scaling", "partial_rotary_factor", "rope_local_base_freq"),
        *("rotary_emb_base", "rotary_pct", "global_rope_theta", "local_rope_theta"),
    }
)
"""Fields of version 4, over all its config classes."""

Config = Mapping[str, Any]


def in_both(text: str, cls: Any) -> str:
    """Return the text of a config.json with version 4's fields beside each `rope_parameters`.

    The text stays as it is if it has no `rope_parameters`, or if `cls`, the config's class, would
    read another config from the extended text.
    """
    document = json.loads(text)
    told = _with_fields(document)
    if told == document or (read := _read(document, cls)) is None or _read(told, cls) != read:
        return text
    return json.dumps(told, indent=2, sort_keys=True) + "\n"


def _read(document: Config, cls: Any) -> Any:
    """Return the config that `cls` reads from a document, None if it refuses the document."""
    try:
        # from_dict modifies its argument.
        return _without_names(cls.from_dict(copy.deepcopy(document)).to_dict())
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a config's own checks may raise anything
        return None


def _without_names(document: Any) -> Any:
    """Return a config without version 4's fields, and without the earlier name of `rope_type`."""
    if not isinstance(document, dict):
        return document
    left_out = set(FIELDS) if "rope_parameters" in document else set()
    if "rope_type" in document and document.get("type") == document["rope_type"]:
        left_out.add("type")
    return {key: _without_names(value) for key, value in document.items() if key not in left_out}


def _with_fields(document: Config) -> dict[str, Any]:
    """Return a config and its nested ones, each with the fields of its own `rope_parameters`."""
    found = {
        key: _with_fields(value) if isinstance(value, dict) and key != "rope_parameters" else value
        for key, value in document.items()
    }
    if isinstance(parameters := document.get("rope_parameters"), dict):
        found = _fields(document, parameters) | found
    return found


def _fields(document: Config, parameters: Config) -> dict[str, Any]:
    kind = document.get("model_type")
    base = parameters.get(GLOBAL, parameters)
    if not isinstance(base, dict):  # null, for layers without rotary embeddings
        return {}
    theta, factor = "rope_theta", "partial_rotary_factor"
    if kind in GPT_NEOX:
        theta, factor = "rotary_emb_base", "rotary_pct"
    if kind in MODERNBERT:
        theta = "global_rope_theta"
    found = {theta: base.get("rope_theta"), factor: base.get("partial_rotary_factor")}
    name = "local_rope_theta" if kind in MODERNBERT else "rope_local_base_freq"
    if kind in (*MODERNBERT, *GEMMA3) and isinstance(local := parameters.get(LOCAL), dict):
        found[name] = local.get("rope_theta")
    if kind not in MODERNBERT:  # version 4 has no scaling for ModernBERT
        found["rope_scaling"] = _scaling(document, base)
    return {name: value for name, value in found.items() if value is not None}


def _scaling(document: Config, parameters: Config) -> dict[str, Any] | None:
    """Return the `rope_scaling` of the parameters, None if there is nothing to scale."""
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    scaling = {
        name: value
        for name, value in parameters.items()
        if name not in ("rope_type", "type", "rope_theta", "partial_rotary_factor")
        and not isinstance(value, dict)
    }
    if kind == "default" and not scaling:
        return None
    if (names := EXACTLY.get(document.get("model_type", ""))) is not None:
        return {"type": kind} | {name: scaling[name] for name in names if name in scaling}
    return {"rope_type": kind} | scaling
