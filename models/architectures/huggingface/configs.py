"""From the `config` of a spec to a config object of the library, or to every fault of it."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Union, get_args, get_origin

from models.architectures.huggingface.published import fields_besides
from models.architectures.torch_errors import message_of
from models.errors import Fault, LimitExceeded, SpecError
from models.faults import join, one_of

DTYPES = ("float32", "bfloat16", "float16", "float64")

_REMOTE = "code from elsewhere is never run; leave it out"
_QUANTIZED = (
    "quantized weights are made from trained ones, not initialized; leave it out and choose a dtype"
)
_REFUSED = {
    "auto_map": _REMOTE,
    "trust_remote_code": _REMOTE,
    "quantization_config": _QUANTIZED,
    "compression_config": _QUANTIZED,
}
# Fields that can name a kernel on a hub, which is code: `owner/name`.
_IMPLEMENTATIONS = ("attn_implementation", "_attn_implementation", "experts_implementation")
_KERNEL = "a kernel of a hub is code from elsewhere, which is never run; leave it out"
# What configs written by versions 2 to 4 of the library hold besides their class's own fields.
_LEGACY = frozenset(
    {
        *("_name_or_path", "name_or_path", "_commit_hash", "model_type", "torch_dtype"),
        *("attn_implementation", "output_attentions", "use_return_dict", "num_labels"),
        *("torchscript", "use_bfloat16", "tf_legacy_loss", "pruned_heads", "prefix"),
        *("is_decoder", "add_cross_attention", "cross_attention_hidden_size"),
        *("tie_encoder_decoder", "tie_word_embeddings", "finetuning_task", "tokenizer_class"),
        *("task_specific_params", "gradient_checkpointing", "use_cache"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id"),
        *("decoder_start_token_id", "rope_theta", "rope_scaling", "partial_rotary_factor"),
        # Of single families: GPT, GPT-2, BERT and those after it, Mamba.
        *("n_ctx", "predict_special_tokens", "position_embedding_type", "gradient_checkpointing"),
        *("pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers"),
        *("pooler_size_per_head", "pooler_type", "directionality", "output_past"),
        *("ssm_cfg", "rms_norm", "fused_add_norm", "pad_vocab_size_multiple", "residual_in_fp32"),
    }
)
# Fields of every config: no class of the library checks these.
_TYPES: dict[str, type] = {
    **dict.fromkeys(("is_encoder_decoder", "output_hidden_states", "return_dict"), bool),
    **dict.fromkeys(("chunk_size_feed_forward", "num_labels"), int),
    **dict.fromkeys(("transformers_version", "problem_type"), str),
    **dict.fromkeys(("id2label", "label2id"), dict),
    "architectures": list,
}
# Their fields are whatever arguments another library's model takes.
_ANY_FIELD = frozenset({"timm_wrapper", "timm_backbone"})
_MISSPELLED = 0.9
_LONG = 100
_MAX_LABELS = 1_000_000  # The names of more would fill any plan.
_COUNT = re.compile(r"(num|n)_.*(layer|block|stage|expert)s?|[a-z]_layers?|depths?")
_READ = re.compile(r"kwargs(?:\.(?:pop|get)\(|\[)\s*[\"'](\w+)[\"']")
_FIELD = re.compile(r"for field '(\w+)'")


def config_of(document: Mapping[str, Any], path: str, max_modules: int) -> Any:
    """The config object of `document`, whose place in the spec is `path`.

    Raises SpecError with what is wrong with it, and LimitExceeded for counts of layers that
    no module could have.
    """
    faults = list(_refused(document, path))
    if faults:
        raise SpecError(faults)
    cls = _class_of(document, path)
    faults = [*_unknown(document, cls, path), *_mistyped(document, cls, path)]
    if faults:
        raise SpecError(faults)
    _check_counts(document, path, max_modules)
    return _made(document, cls, path)


def _refused(value: Any, path: str) -> Iterator[Fault]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in _REFUSED and item is not None and item is not False:
                yield Fault(join(path, key), _REFUSED[key])
            elif key in _IMPLEMENTATIONS and _names_kernel(item):
                yield Fault(join(path, key), _KERNEL)
            elif key in ("dtype", "torch_dtype") and item is not None and item not in DTYPES:
                yield Fault(join(path, key), f"no dtype of a model; known: {', '.join(DTYPES)}")
            else:
                yield from _refused(item, join(path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _refused(item, join(path, index))


def _names_kernel(value: Any) -> bool:
    named = value.values() if isinstance(value, Mapping) else [value]
    return any(isinstance(name, str) and "/" in name for name in named)


def _class_of(document: Mapping[str, Any], path: str) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = document.get("model_type")
    if kind is None:
        raise SpecError.at(join(path, "model_type"), "missing; it says which config this is")
    if not isinstance(kind, str):
        raise SpecError.at(join(path, "model_type"), "expected a string")
    if kind not in CONFIG_MAPPING:
        known = sorted(CONFIG_MAPPING)
        raise SpecError.at(
            join(path, "model_type"), f"no model type {kind!r}; {one_of(kind, known)}"
        )
    return CONFIG_MAPPING[kind]


def _unknown(
    document: Mapping[str, Any], cls: Any, path: str, *, inside: bool = False
) -> Iterator[Fault]:
    """Fields that a config class does not know.

    Published configs carry fields of other classes in the configs inside them (a vision
    model's `vocab_size`), so there only what is misspelled is a fault.
    """
    known = fields_of(cls)
    for key, value in document.items():
        if key in cls.sub_configs_defaults and isinstance(value, Mapping):
            if (inner := _sub_class(cls, key, value)) is not None:
                yield from _unknown(value, inner, join(path, key), inside=True)
        elif key in known or key in _REFUSED or _is_published(key, cls):
            continue
        elif not inside or difflib.get_close_matches(key[:_LONG], known, cutoff=_MISSPELLED):
            yield Fault(join(path, key), f"{cls.__name__} has no such field; {one_of(key, known)}")


def _mistyped(document: Mapping[str, Any], cls: Any, path: str) -> Iterator[Fault]:
    """Values of the wrong type in the fields of every config, which the library lets pass."""
    for key, value in document.items():
        if key in cls.sub_configs_defaults and isinstance(value, Mapping):
            if (inner := _sub_class(cls, key, value)) is not None:
                yield from _mistyped(value, inner, join(path, key))
        elif key in _TYPES and value is not None and type(value) is not _TYPES[key]:
            expected, found = _TYPES[key].__name__, type(value).__name__
            yield Fault(join(path, key), f"Field {key!r} expected {expected}, got {found}")


def _is_published(key: str, cls: Any) -> bool:
    """Whether published configs have the field, though their class does not declare it."""
    if cls.model_type in _ANY_FIELD:
        return True
    return key in _LEGACY | _generation() | fields_besides(cls)


@cache
def fields_of(cls: Any) -> tuple[str, ...]:
    """The names that a config class takes: its fields, their other names, what its code reads."""
    names = [field.name for field in dataclasses.fields(cls)]
    read = [key for base in cls.__mro__[:-1] for key in _READ.findall(_source(base))]
    given = (getattr(base, "__init__", None) for base in cls.__mro__[:-1])
    taken = [name for init in given if init for name in inspect.signature(init).parameters]
    other = [*cls.attribute_map, *cls.sub_configs_defaults]
    private = {"self", "args", "kwargs"}
    return tuple(
        name for name in dict.fromkeys([*names, *other, *read, *taken]) if name not in private
    )


@cache
def _generation() -> frozenset[str]:
    """Parameters of generation, which configs used to hold."""
    from transformers import GenerationConfig

    return frozenset(GenerationConfig._get_default_generation_params())


def _source(cls: Any) -> str:
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        return ""


def _sub_class(cls: Any, key: str, document: Mapping[str, Any]) -> Any:
    """The class of a config inside a config, None where its model type decides and is unknown."""
    from transformers.configuration_utils import PreTrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    found = cls.sub_configs_defaults[key].config_class
    if isinstance(found, type) and issubclass(found, PreTrainedConfig):
        return found
    kind = document.get("model_type", cls.sub_configs_defaults[key].model_type)
    return CONFIG_MAPPING[kind] if isinstance(kind, str) and kind in CONFIG_MAPPING else None


def _check_counts(value: Any, path: str, most: int) -> None:
    """Refuses counts that lists are made as long as, before any is."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            for count in item if isinstance(item, list) else [item]:
                if _COUNT.fullmatch(key) and isinstance(count, int) and count > most:
                    message = f"{count} are more modules than are allowed; at most {most}"
                    raise LimitExceeded.at(join(path, key), message)
            if key == "num_labels" and isinstance(item, int) and item > _MAX_LABELS:
                message = f"{item} are more labels than can be named; at most {_MAX_LABELS}"
                raise LimitExceeded.at(join(path, key), message)
            _check_counts(item, join(path, key), most)


def _made(document: Mapping[str, Any], cls: Any, path: str) -> Any:
    """The object; configs inside it are made by themselves first, so that faults have a place."""
    for key in cls.sub_configs_defaults:
        value = document.get(key)
        if isinstance(value, Mapping) and (inner := _sub_class(cls, key, value)) is not None:
            _made(value, inner, join(path, key))
    left_out = {"model_type", *_REFUSED}  # of which only `false` and `null` come so far
    arguments = {key: value for key, value in document.items() if key not in left_out}
    try:
        # The library writes into the objects that it is given, such as `rope_scaling`.
        return cls(**_widened(copy.deepcopy(arguments), cls))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a config's own checks raise
        raise SpecError.at(*_told(error, document, cls, path)) from None


def _widened(document: Mapping[str, Any], cls: Any) -> dict[str, Any]:
    """With 1 as 1.0 where a field takes nothing but floats: in JSON they are the same."""
    types = {field.name: field.type for field in dataclasses.fields(cls)}
    widened: dict[str, Any] = {}
    for key, value in document.items():
        name = cls.attribute_map.get(key, key)
        if type(value) is int and name in types and _only_floats(types[name]):
            widened[key] = float(value)
        elif key in cls.sub_configs_defaults and isinstance(value, Mapping):
            inner = _sub_class(cls, key, value)
            widened[key] = dict(value) if inner is None else _widened(value, inner)
        else:
            widened[key] = value
    return widened


def _only_floats(kind: Any) -> bool:
    if isinstance(kind, str):
        return "float" in kind and "int" not in kind
    kinds = set(get_args(kind)) if get_origin(kind) is not None else {kind}
    kinds = {
        inner
        for each in kinds
        for inner in ({each} if get_origin(each) is not Union else set(get_args(each)))
    }
    return float in kinds and int not in kinds


def _told(error: Exception, document: Mapping[str, Any], cls: Any, path: str) -> tuple[str, str]:
    """Where an error of a config is and what it says, in one line."""
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
