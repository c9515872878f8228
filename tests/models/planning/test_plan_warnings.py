"""What a plan warns of: it can be issued, and may not be what was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file, save_file

from seedpoint.models.plan.plan import Plan
from seedpoint.models.plan.warning import PlanWarning
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.statistics.describe import resource

NORMAL = {"type": "normal"}


def listed(*names: str, dtype: str = "float32") -> dict[str, Any]:
    tensors = [{"name": name, "shape": [4, 2], "dtype": dtype} for name in names]
    return {"type": "tensors", "tensors": tensors}


def warnings(
    architecture: dict[str, Any], *rules: dict[str, Any], init: Any = None, **more: Any
) -> tuple[str, ...]:
    document = {"architecture": architecture, "init": {"rules": rules, **(init or {})}, **more}
    platform = {"torch": "any"} if init else None
    return tuple(map(str, make_plan(parse_spec(document), platform=platform).plan.warnings))


def halves(*names: str | None, **more: Any) -> dict[str, Any]:
    parts = [{"size": 2} | ({} if name is None else {"as": name}) for name in names]
    return {"match": {"name": "w*"}, "initializer": NORMAL, "splits": {"parts": parts}, **more}


REST = {"initializer": NORMAL}


# --- streams -----------------------------------------------------------------------


def test_a_part_and_a_tensor_of_its_stream_s_name_are_warned_of() -> None:
    (warning,) = warnings(listed("w", "w#0"), halves(None, None) | {"match": {"name": "w"}}, REST)
    assert "'w#0', 'w#0' draw the same values from one stream, 'w#0'" in warning


def test_two_parts_with_one_name_are_warned_of() -> None:
    (warning,) = warnings(listed("w"), halves("q", "q"))
    assert "'w#0', 'w#1' draw the same values from one stream, 'q'" in warning


def test_parts_of_two_tensors_with_one_name_are_warned_of() -> None:
    first, second = warnings(listed("w1", "w2"), halves("q", "k"))
    assert "'w1#0', 'w2#0' draw the same values from one stream, 'q'" in first
    assert "'w1#1', 'w2#1' draw the same values from one stream, 'k'" in second


def test_parts_with_streams_of_their_own_are_not_warned_of() -> None:
    assert warnings(listed("w1", "w2"), halves(None, None)) == ()
    assert warnings(listed("w", "other"), halves("q", "k"), REST) == ()


def test_what_draws_nothing_shares_no_stream() -> None:
    zeros = {"type": "zeros"}
    assert warnings(listed("w"), halves("q", "q", initializer=zeros)) == ()
    other = {"initializer": zeros}
    assert warnings(listed("w", "q"), halves("q", "k"), other) == ()


def test_streams_mean_nothing_under_a_sequential_generator() -> None:
    assert warnings(listed("w"), halves("q", "q"), init={"generator": "torch"}) == ()


def test_the_streams_of_layers_that_torch_clones_are_shared_by_intent() -> None:
    layer = {"type": "TransformerEncoderLayer", "d_model": 4, "nhead": 2}
    encoder = {"type": "TransformerEncoder", "encoder_layer": layer, "num_layers": 3}
    split = halves("q", "k") | {"match": {"name": "layers.0.linear1.bias"}, "optional": True}
    split["splits"]["parts"] = [{"size": 2048}]
    assert {warning[:5] for warning in warnings(encoder, split)} == {"SP302"}


def test_of_many_shared_streams_the_first_are_named() -> None:
    split = halves("q{i}", "q{i}") | {"match": {"name": "w.{i}"}}
    found = warnings(listed(*(f"w.{i}" for i in range(20))), split)
    assert len(found) == 9
    assert found[-1] == "SP201: and 12 more streams are shared by parts of splits"


# --- dtypes ------------------------------------------------------------------------


def test_a_dtype_rule_that_wins_no_floating_tensor_is_warned_of() -> None:
    rules = [{"match": {"parameter": "num_batches_tracked"}, "dtype": "float64"}]
    norm = {"type": "BatchNorm1d", "num_features": 2}
    (warning,) = warnings(norm, dtype={"rules": rules})
    assert warning.startswith("SP102: dtype.rules.0 has no effect: it wins no floating tensor")


def test_a_dtype_rule_that_wins_one_floating_tensor_is_not() -> None:
    rules = [{"match": {"kind": "buffer"}, "dtype": "float64"}]
    norm = {"type": "BatchNorm1d", "num_features": 2}
    assert warnings(norm, dtype={"rules": rules}) == ()


# --- values past a dtype -------------------------------------------------------------


@pytest.mark.parametrize("generator", [None, {"generator": "torch"}])
@pytest.mark.parametrize(
    ("dtype", "initializer"),
    [
        ("float16", {"type": "normal", "std": 1e6}),
        ("float16", {"type": "uniform", "a": 0, "b": 1e5}),
        ("float16", {"type": "constant", "val": 1e6}),
        ("float16", {"type": "constant", "val": 65520}),
        ("bfloat16", {"type": "normal", "std": 2e38}),
        ("bfloat16", {"type": "constant", "val": 3.4e38}),
        ("float32", {"type": "normal", "std": 3e38}),
        ("float8_e5m2", {"type": "constant", "val": -1e5}),
        ("float8_e4m3fn", {"type": "normal", "mean": 500}),
    ],
)
def test_tensors_that_will_overflow_their_dtype_are_warned_of(
    dtype: str, initializer: dict[str, Any], generator: Any
) -> None:
    (warning,) = warnings(listed("w", dtype=dtype), {"initializer": initializer}, init=generator)
    assert warning.startswith(
        f"SP202: values of 'w' are expected to overflow {dtype}, whose largest is "
    )


@pytest.mark.parametrize(
    ("dtype", "initializer"),
    [
        ("float16", {"type": "normal", "std": 10_000}),  # 8 values, 1 in 10^10 past 65504
        ("float16", {"type": "constant", "val": 65519}),  # rounds to 65504
        ("bfloat16", {"type": "uniform", "a": 0, "b": 3.38e38}),
        ("float8_e4m3fn", {"type": "constant", "val": 463}),
        ("float64", {"type": "constant", "val": 1e300}),
        ("float64", {"type": "normal", "std": 1e30}),
        ("int64", {"type": "constant", "val": 2**62}),
    ],
)
def test_tensors_that_fit_their_dtype_are_not_warned_of(
    dtype: str, initializer: dict[str, Any]
) -> None:
    assert warnings(listed("w", dtype=dtype), {"initializer": initializer}) == ()


def test_one_element_that_overflows_is_warned_of() -> None:
    change = {"type": "set", "index": [0, 0], "value": 1e5}
    one = {"match": {"name": "w2"}, "initializer": NORMAL, "transforms": [change]}
    (warning,) = warnings(listed("w1", "w2", dtype="float16"), one, REST)
    assert "'w2'" in warning and "'w1'" not in warning


# --- what readers cannot read ----------------------------------------------------------


def test_a_dtype_that_safetensors_does_not_load_from_bytes_is_warned_of() -> None:
    ones = {"initializer": {"type": "ones"}}
    (warning,) = warnings(listed("w", dtype="float8_e8m0fnu"), ones)
    assert warning.startswith(
        "SP203: 'w' are float8_e8m0fnu, which safetensors.torch.load does not read"
    )


def test_safetensors_loads_that_dtype_from_files_alone(tmp_path: Path) -> None:
    """Once this fails, the warning has had its day."""
    file = tmp_path / "w.safetensors"
    save_file({"w": torch.ones(2, dtype=torch.float8_e8m0fnu)}, file)
    assert load_file(file)["w"].dtype == torch.float8_e8m0fnu
    with pytest.raises(KeyError):
        load(file.read_bytes())


# --- initializers --------------------------------------------------------------------


def tail(low: float, high: float) -> dict[str, Any]:
    return {"initializer": {"type": "trunc_normal", "a": low, "b": high}}


def test_a_truncated_normal_of_few_values_is_warned_of_with_their_number() -> None:
    (warning,) = warnings(listed("w"), tail(3.9, 6))
    assert warning.startswith("SP204: init.rules.0.initializer: 'w' has only 1,614 different")
    assert warnings(listed("w"), tail(1, 2)) == ()


def test_a_list_has_no_void_initializer_under_a_sequential_generator() -> None:
    rule = {"initializer": [{"type": "ones"}, NORMAL]}
    assert warnings(listed("w"), rule, init={"generator": "torch"}) == ()


# --- architectures -------------------------------------------------------------------


def test_encoder_layers_that_torch_clones_are_warned_of_until_a_rule_draws_them() -> None:
    layer = {"type": "TransformerEncoderLayer", "d_model": 4, "nhead": 2, "dim_feedforward": 8}
    encoder = {"type": "TransformerEncoder", "encoder_layer": layer, "num_layers": 3}
    (warning,) = warnings(encoder)
    assert warning.startswith("SP302: the layers are equal") and "'layers.0.linear1" in warning
    assert warnings(encoder, {"initializer": NORMAL}) == ()
    assert warnings(encoder | {"num_layers": 1}) == ()


def test_a_first_level_glob_is_meant_if_other_rules_win_the_deeper_names() -> None:
    rules = [{"match": {"name": name}, "initializer": NORMAL} for name in ("*.w", "**.w")]
    assert warnings(listed("a.w", "b.c.w"), *rules) == ()


def test_details_have_code_path_and_page() -> None:
    plan = make_plan(parse_spec({"architecture": listed("w"), "init": {"rules": [tail(3.9, 6)]}}))
    (details,) = resource(plan.plan)["warning_details"]
    assert details == {
        "code": "SP204",
        "path": "init.rules.0.initializer",
        "docs": "docs/warnings.md#sp204",
    }
    assert Plan.from_record(plan.plan.record).warnings == plan.plan.warnings


def test_a_warning_of_an_old_record_is_its_text() -> None:
    assert str(PlanWarning.from_json("a text")) == "a text"


# --- parts, terms and rows -----------------------------------------------------------


def split(*parts: dict[str, Any], initializer: Any = NORMAL, **more: Any) -> dict[str, Any]:
    sized = [{"size": 1, **part} for part in parts]
    return {"initializer": initializer, "splits": {"parts": sized, **more}}


ORTHOGONAL = {"type": "orthogonal"}
FAR = {"type": "trunc_normal", "std": 0.01}


@pytest.mark.parametrize(
    ("rule", "is_warned"),
    [
        (split({}, {}, initializer=ORTHOGONAL, repeat=2), True),
        (split({"initializer": ORTHOGONAL}, {"size": 3}), True),
        (split({"initializer": {"type": "sum", "initializers": [ORTHOGONAL]}}, {"size": 3}), True),
        (split({"size": 2}, {"size": 2}, initializer=ORTHOGONAL), False),
        ({"initializer": ORTHOGONAL}, False),
        ({"initializer": ORTHOGONAL, "fan": {"batch_axes": []}}, False),
    ],
)
def test_orthogonal_parts_of_one_row_are_warned_of(rule: dict[str, Any], is_warned: bool) -> None:
    assert [text[:5] for text in warnings(listed("w"), rule)] == ["SP206"] * is_warned


def test_a_stack_of_orthogonal_matrices_is_not_warned_of_but_led_to() -> None:
    experts = {"type": "tensors", "tensors": {"w": {"shape": [3, 4, 2]}}}
    stacked = {"initializer": ORTHOGONAL, "fan": {"batch_axes": [0]}}
    assert warnings(experts, stacked) == ()
    (warning,) = warnings(experts, split({}, {}, {}, initializer=ORTHOGONAL))
    assert '"fan": {"batch_axes": [0]}' in warning


@pytest.mark.parametrize(
    "rule", [split({"initializer": FAR}, {"size": 3}), {"initializer": {"type": "sum"}}]
)
def test_bounds_are_looked_at_in_parts_and_terms(rule: dict[str, Any]) -> None:
    if "splits" not in rule:
        rule = {"initializer": {"type": "sum", "initializers": [{"type": "eye"}, FAR]}}
    (warning,) = warnings(listed("w"), rule)
    assert warning.startswith("SP205")


def test_a_list_of_a_part_is_warned_of_at_its_place() -> None:
    lists = split({"size": 2, "initializer": [{"type": "eye"}, NORMAL]}, {"size": 2})
    (warning,) = warnings(listed("w"), lists)
    assert warning.startswith("SP105: init.rules.0.splits.parts.0.initializer.0: eye has no effect")
    assert '{"type": "sum"}' in warning


PADDED: dict[str, Any] = {
    "type": "Embedding",
    "num_embeddings": 6,
    "embedding_dim": 2,
    "padding_idx": 1,
}


@pytest.mark.parametrize(
    ("rule", "is_warned"),
    [
        ({"transforms": [{"type": "zero_rows", "rows": [1]}]}, False),
        ({"transforms": [{"type": "zero_rows", "rows": "1:3"}]}, False),
        ({"transforms": [{"type": "set", "index": ["1:2"], "value": 0}]}, False),
        ({"transforms": [{"type": "set", "index": ["1:2", 0], "value": 0}]}, True),
        ({"transforms": [{"type": "set", "index": ["1:2"], "value": 1}]}, True),
        ({"transforms": [{"type": "zero_rows", "rows": "2:3"}]}, True),
        (split({}, {"initializer": {"type": "zeros"}}, {"size": 4}), False),
        (split({}, {"initializer": {"type": "own"}}, {"size": 4}), False),
        (split({}, {}, repeat=3), True),
        (split({}, {"size": 1, "initializer": {"type": "zeros"}}, repeat=3), False),
        (split({"size": 1}, {"size": 1}, axis=1), True),
    ],
)
def test_a_row_of_padding_that_is_drawn_over_is_warned_of(
    rule: dict[str, Any], is_warned: bool
) -> None:
    found = warnings(PADDED, {"match": {}, "initializer": NORMAL, **rule})
    assert [text[:5] for text in found] == ["SP207"] * is_warned


def test_a_row_of_padding_is_found_under_every_name_of_a_tied_tensor() -> None:
    tied = {**PADDED, "tie": {"weight": "head.weight"}}
    head = {"type": "Linear", "in_features": 2, "out_features": 6, "bias": False}
    tree = {"type": "Module", "children": {"head": head, "embedding": tied}}
    (warning,) = warnings(tree, {"match": {}, "initializer": NORMAL})
    assert warning.startswith("SP207") and "'embedding.weight[1]'" in warning


def test_one_star_between_segments_is_warned_of_too() -> None:
    linear = {"type": "Linear", "in_features": 2, "out_features": 2}
    deep = {"type": "Sequential", "layers": [linear, {"type": "Sequential", "layers": [linear]}]}
    tree = {"type": "Module", "children": {"encoder": deep}}
    (warning,) = warnings(tree, {"match": {"name": "encoder.*.bias"}, "initializer": NORMAL})
    assert "SP104: init.rules.0: 'encoder.*.bias' matches 1 of the 2 names that" in warning
    assert "'encoder.**.bias'" in warning
    rest = {"match": {"name": "encoder.**"}, "initializer": NORMAL}
    first = {"match": {"name": "encoder.*.bias"}, "initializer": NORMAL}
    assert warnings(tree, first, rest) == ()


def test_norms_of_a_weight_whose_parts_keep_the_own_init_share_no_stream() -> None:
    weight_norm = {"weight": {"type": "weight_norm"}}
    linear = {
        "type": "Linear",
        "in_features": 2,
        "out_features": 4,
        "parametrizations": weight_norm,
    }
    rule = split({"size": 3, "initializer": {"type": "own"}}, {})
    found = warnings(linear, {"match": {"parameter": "original1"}, **rule})
    assert [text[:5] for text in found] == ["SP208"]


XAVIER = {"type": "xavier_uniform"}
TWO_PARTS = [{"size": 32}, {"size": 32, "initializer": XAVIER}]


@pytest.mark.parametrize(
    ("shape", "rule", "is_warned"),
    [
        ([8, 64, 32], {"initializer": XAVIER}, True),
        ([8, 64, 32], {"initializer": {"type": "lecun_normal"}}, True),
        ([8, 64, 32], split({}, initializer=XAVIER, repeat=8), True),
        ([8, 64, 32], {"initializer": NORMAL, "splits": {"axis": 1, "parts": TWO_PARTS}}, True),
        ([8, 64, 32], {"initializer": XAVIER, "fan": {"batch_axes": [0]}}, False),
        ([8, 64, 32], {"initializer": XAVIER, "fan": {"batch_axes": []}}, False),
        ([8, 64, 32], {"initializer": NORMAL}, False),
        ([8, 64, 3], {"initializer": XAVIER}, False),  # a kernel of width 3
        ([1, 197, 192], {"initializer": XAVIER}, False),  # an embedding of positions
        ([8, 64], {"initializer": XAVIER}, False),
        ([8, 4, 32, 32], {"initializer": XAVIER}, False),
    ],
)
def test_fans_of_a_stack_that_are_a_convolution_s_are_warned_of(
    shape: list[int], rule: dict[str, Any], is_warned: bool
) -> None:
    tensors = {"type": "tensors", "tensors": {"w": {"shape": shape}}}
    found = warnings(tensors, rule)
    assert [text[:5] for text in found] == ["SP106"] * is_warned
    assert all('"fan": {"batch_axes": [0]}' in text for text in found)


def test_a_convolution_and_kernels_of_flax_are_no_stacks() -> None:
    conv = {"type": "Conv1d", "in_channels": 4, "out_channels": 8, "kernel_size": 64}
    kernel = {"type": "tensors", "layout": "in_out", "tensors": {"w": {"shape": [8, 64, 32]}}}
    rule = {"match": {"ndim": 3}, "initializer": XAVIER}
    assert warnings(conv, rule) == warnings(kernel, rule) == ()
