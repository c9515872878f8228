"""Fields that published configs hold and their config class does not declare."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from typing import Any

# In the config.json of the models' own repositories: what the class works out by itself, what
# later versions of the library left out, what only the models' first code read.
_PUBLISHED: dict[str, frozenset[str]] = {
    "deberta-v2": frozenset({"norm_rel_ebd", "position_buckets", "share_att_key"}),
    "falcon_mamba": frozenset({"intermediate_size", "expand"}),
    "gemma": frozenset({"hidden_activation"}),
    "gpt_oss": frozenset({"initial_context_length"}),
    "hubert": frozenset({"num_feat_extract_layers"}),
    "mamba": frozenset({"d_inner", "d_model", "intermediate_size", "n_layer"}),
    "phi3": frozenset({"attention_bias"}),
    "qwen3_moe": frozenset({"max_window_layers"}),
    "wav2vec2": frozenset({"num_feat_extract_layers"}),
}
_READ = re.compile(r"getattr\(\s*(?:self\.)?config,\s*[\"'](\w+)[\"']")


@cache
def fields_besides(cls: Any) -> frozenset[str]:
    """The fields that a published config of class `cls` may hold besides the class's own.

    Among them what the model's code reads only where it is: `getattr(config, "head_dim", ...)`.
    """
    modeling = cls.__module__.replace(".configuration_", ".modeling_")
    found = find_spec(modeling) if modeling != cls.__module__ else None
    source = getattr(found.loader, "get_source", lambda _: None)(modeling) if found else None
    return _PUBLISHED.get(cls.model_type, frozenset()) | frozenset(_READ.findall(source or ""))
