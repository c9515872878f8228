"""Dtypes of tensors: the default, rules and what has a dtype of its own."""

from __future__ import annotations

from tests.support.plans import LINEAR, plan, sequential

BATCH_NORM = {"type": "BatchNorm1d", "num_features": 6}


def test_dtypes_by_rule_touch_floating_tensors_only() -> None:
    found = plan(
        sequential(LINEAR, BATCH_NORM),
        dtype={
            "default": "bfloat16",
            "rules": [{"match": {"module": "BatchNorm1d"}, "dtype": "float32"}],
        },
    )
    assert {t.name: t.dtype.code for t in found.tensors} == {
        "0.weight": "BF16",
        "0.bias": "BF16",
        "1.weight": "F32",
        "1.bias": "F32",
        "1.running_mean": "F32",
        "1.running_var": "F32",
        "1.num_batches_tracked": "I64",
    }


def test_a_rule_that_wins_no_floating_tensor_is_warned_of() -> None:
    counters = {"match": {"name": "**.num_batches_tracked"}, "dtype": "float16"}
    found = plan(sequential(BATCH_NORM), dtype={"default": "bfloat16", "rules": [counters]})
    (warning,) = found.warnings
    assert str(warning) == "SP102: dtype.rules.0 has no effect: it wins no floating tensor"


def test_a_rule_that_never_wins_is_warned_of_though_it_matches_only_buffers() -> None:
    rules = [
        {"match": {}, "dtype": "float16"},
        {"match": {"kind": "any", "ndim": 0}, "dtype": "float32"},
        {"match": {"ndim": 0}, "dtype": "float32"},
    ]
    found = plan(sequential(BATCH_NORM), dtype={"rules": rules})
    assert [str(warning) for warning in found.warnings] == [
        f"SP101: dtype.rules.{index} has no effect: earlier rules win its tensors"
        for index in (1, 2)
    ]
