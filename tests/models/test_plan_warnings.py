"""What a plan warns of: it can be issued, and may not be what was meant."""

from __future__ import annotations

from typing import Any

from models.compile import make_plan
from models.spec import parse_spec

NORMAL = {"type": "normal"}


def listed(*names: str, dtype: str = "float32") -> dict[str, Any]:
    tensors = [{"name": name, "shape": [4, 2], "dtype": dtype} for name in names]
    return {"type": "tensors", "tensors": tensors}


def warnings(
    architecture: dict[str, Any], *rules: dict[str, Any], init: Any = None, **more: Any
) -> tuple[str, ...]:
    document = {"architecture": architecture, "init": {"rules": rules, **(init or {})}, **more}
    platform = {"torch": "any"} if init else None
    return make_plan(parse_spec(document), platform=platform).plan.warnings


def halves(*names: str | None, **more: Any) -> dict[str, Any]:
    parts = [{"size": 2} | ({} if name is None else {"as": name}) for name in names]
    return {"match": {"name": "w*"}, "initializer": NORMAL, "splits": {"parts": parts}, **more}


REST = {"initializer": NORMAL}


# --- streams -----------------------------------------------------------------------


def test_a_part_and_a_tensor_of_its_stream_s_name_are_warned_of() -> None:
    (warning,) = warnings(listed("w", "w#0"), halves(None, None) | {"match": {"name": "w"}}, REST)
    assert "'w#0', 'w#0' draw from one stream, 'w#0'" in warning


def test_two_parts_with_one_name_are_warned_of() -> None:
    (warning,) = warnings(listed("w"), halves("q", "q"))
    assert "'w#0', 'w#1' draw from one stream, 'q'" in warning


def test_parts_of_two_tensors_with_one_name_are_warned_of() -> None:
    first, second = warnings(listed("w1", "w2"), halves("q", "k"))
    assert "'w1#0', 'w2#0' draw from one stream, 'q'" in first
    assert "'w1#1', 'w2#1' draw from one stream, 'k'" in second


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


def test_layers_that_torch_clones_are_not_warned_of() -> None:
    layer = {"type": "TransformerEncoderLayer", "d_model": 4, "nhead": 2}
    encoder = {"type": "TransformerEncoder", "encoder_layer": layer, "num_layers": 3}
    split = halves("q", "k") | {"match": {"name": "layers.0.linear1.bias"}, "optional": True}
    split["splits"]["parts"] = [{"size": 2048}]
    assert warnings(encoder, split) == ()


def test_of_many_shared_streams_the_first_are_named() -> None:
    split = halves("q{i}", "q{i}") | {"match": {"name": "w.{i}"}}
    found = warnings(listed(*(f"w.{i}" for i in range(20))), split)
    assert len(found) == 9
    assert found[-1] == "and 12 streams more are shared by parts of splits"


# --- dtypes ------------------------------------------------------------------------


def test_a_dtype_rule_that_wins_no_floating_tensor_is_warned_of() -> None:
    rules = [{"match": {"parameter": "num_batches_tracked"}, "dtype": "float64"}]
    norm = {"type": "BatchNorm1d", "num_features": 2}
    (warning,) = warnings(norm, dtype={"rules": rules})
    assert warning.startswith("dtype.rules.0 has no effect: a dtype is for floating tensors")


def test_a_dtype_rule_that_wins_one_floating_tensor_is_not() -> None:
    rules = [{"match": {"kind": "buffer"}, "dtype": "float64"}]
    norm = {"type": "BatchNorm1d", "num_features": 2}
    assert warnings(norm, dtype={"rules": rules}) == ()
