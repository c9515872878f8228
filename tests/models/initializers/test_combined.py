"""Sums of initializers and copies of other tensors, under every generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.errors import SpecError
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import Program
from seedpoint.models.plan.program_json import program_from_json, to_json
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.planning.sequential import materialize, platform
from seedpoint.models.spec.schema import normalized, parse_spec
from seedpoint.models.verify.soundness import check_plan
from tests.support.seen import seen

Rules = dict[str, Any]
SHAPES: dict[str, list[int]] = {"w": [40, 50], "x": [40, 50]}


def spec(rules: Rules, shapes: dict[str, Any] | None = None, **init: Any) -> dict[str, Any]:
    """A list of tensors with one rule for each; `rules` holds initializers by name."""
    given = [
        {"name": name, **(shape if isinstance(shape, dict) else {"shape": shape})}
        for name, shape in (shapes or dict.fromkeys(rules, SHAPES["w"])).items()
    ]
    return {
        "architecture": {"type": "tensors", "tensors": given},
        "init": {
            "seed": 5,
            "rules": [
                {"match": {"name": name}}
                | (rule if "initializer" in rule else {"initializer": rule})
                for name, rule in rules.items()
            ],
            **init,
        },
    }  # fmt: skip


def planned(document: dict[str, Any]) -> Planned:
    found = make_plan(parse_spec(document))
    check_plan(found.plan)
    again = normalized(parse_spec(document))
    assert make_plan(parse_spec(again)).plan.id == found.plan.id
    return found


def values(found: Planned, start: int = 0, stop: int | None = None) -> list[torch.Tensor]:
    """Elements [start, stop) of every tensor, or the whole tensors."""
    made = []
    evaluator = Evaluator(found.plan, found.blobs)
    for number, tensor in enumerate(found.plan.tensors):
        last = tensor.numel if stop is None else stop
        out = np.empty((last - start) * tensor.dtype.itemsize, np.uint8)
        evaluator.fill(number, start, last, out)
        flat = torch.from_numpy(out).view(tensor.dtype.torch)
        made.append(flat.view(tensor.shape) if stop is None else flat)
    return made


NORMAL = {"type": "normal", "std": 0.1}
EYE_AND_NOISE = {"type": "sum", "initializers": [{"type": "eye"}, NORMAL]}
LINES: Rules = {"type": "map", "expression": "row * 100 + col"}


# --- sums ----------------------------------------------------------------------------


def test_a_sum_adds_to_the_draw_that_would_stand_alone() -> None:
    both = values(planned(spec({"w": EYE_AND_NOISE})))[0]
    alone = values(planned(spec({"w": NORMAL})))[0]
    assert torch.equal(both, torch.eye(40, 50) + alone)


def test_two_draws_of_a_sum_are_independent() -> None:
    terms = [
        {"type": "uniform"},
        {"type": "sparse", "sparsity": 0.5, "std": 1},
        {"type": "uniform"},
    ]
    nested = {
        "type": "sum",
        "initializers": [*terms[:1], {"type": "sum", "initializers": terms[1:]}],
    }
    found = planned(spec({"w": {"type": "sum", "initializers": terms}}))
    program = found.plan.tensors[0].program
    assert [term.source.draw for term in program.source.terms] == [0, 1, 3]
    assert program.draws
    assert program_from_json(to_json(program)) == program
    torch.testing.assert_close(values(found)[0], values(planned(spec({"w": nested})))[0])


def test_a_part_of_a_split_may_be_a_sum() -> None:
    rule = {
        "initializer": EYE_AND_NOISE,
        "splits": {"axis": 0, "parts": [{"size": 15, "as": "first"}, {"size": 25}]},
    }
    found = values(planned(spec({"w": rule})))[0]
    first = values(planned(spec({"first": NORMAL}, {"first": [15, 50]})))[0]
    assert torch.equal(found[:15], torch.eye(15, 50) + first)
    assert planned(spec({"w": rule})).plan.warnings == ()


def test_identity_and_noise_are_judged() -> None:
    found = planned(spec({"w": EYE_AND_NOISE}))
    value = values(found)[0]
    assert seen(found.plan.tensors[0], value)["pass"] is True
    assert seen(found.plan.tensors[0], value - torch.eye(40, 50))["pass"] is False


def test_a_sum_under_torch_is_the_sum_of_torchs_draws() -> None:
    document = parse_spec(spec({"w": EYE_AND_NOISE}, generator="torch"))
    found = materialize(document, make_plan(document, platform=platform()))["w"]
    torch.manual_seed(5)
    assert torch.equal(found, torch.eye(40, 50) + torch.empty(40, 50).normal_(0, 0.1))


@pytest.mark.parametrize(
    ("term", "path", "reason"),
    [
        ({"type": "own"}, "initializers.0", "own is the module's own"),
        ({"type": "normal", "std": -1}, "initializers.0.std", "std must be >= 0"),
    ],
)
def test_a_fault_of_a_term_has_its_path(term: Rules, path: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason) as error:
        planned(spec({"w": {"type": "sum", "initializers": [term, NORMAL]}}))
    assert error.value.faults[0].path == f"init.rules.0.initializer.{path}"


# --- copies ----------------------------------------------------------------------------

VIEWS: list[tuple[Rules, list[int], Any]] = [
    ({}, [40, 50], lambda x: x),
    ({"transpose": True}, [50, 40], lambda x: x.T),
    ({"index": 3}, [50], lambda x: x[3]),
    ({"index": -1, "axis": 1}, [40], lambda x: x[:, -1]),
    ({"index": "10:20"}, [10, 50], lambda x: x[10:20]),
    ({"index": ":7", "axis": -1}, [40, 7], lambda x: x[:, :7]),
    ({"index": "-5:", "axis": 1, "transpose": True}, [5, 40], lambda x: x[:, -5:].T),
]


@pytest.mark.parametrize("drawn", [NORMAL, LINES, {"type": "orthogonal"}, EYE_AND_NOISE])
@pytest.mark.parametrize(("view", "shape", "expected"), VIEWS)
def test_a_copy_is_the_view_of_the_other_tensor(
    drawn: Rules, view: Rules, shape: list[int], expected: Any
) -> None:
    rules = {"w": {"type": "copy", "of": "x", **view}, "x": drawn}
    found = planned(spec(rules, {"w": shape, "x": [40, 50]}))
    copy, other = values(found)
    assert torch.equal(copy, expected(other))
    program = found.plan.tensors[0].program
    assert program_from_json(to_json(program)) == program


def test_any_range_of_a_copy_is_a_part_of_the_whole() -> None:
    rule = {"initializer": {"type": "copy", "of": "x", "transpose": True},
            "transforms": [{"type": "scale", "value": 2}]}  # fmt: skip
    split = {"initializer": NORMAL, "splits": {"parts": [{"size": 4}, {"size": 36}]}}
    found = planned(spec({"w": rule, "x": split}, {"w": [50, 40], "x": [40, 50]}))
    whole, other = values(found)
    assert torch.equal(whole, 2 * other.T)
    for start in range(0, 1700, 333):
        assert torch.equal(
            values(found, start, start + 301)[0], whole.flatten()[start : start + 301]
        )


def test_a_large_transposed_copy_is_generated_in_large_blocks() -> None:
    shapes = {"w": [3000, 1000], "x": [1000, 3000]}
    found = planned(
        spec({"w": {"type": "copy", "of": "x", "transpose": True}, "x": NORMAL}, shapes)
    )
    copy, other = values(found)
    assert torch.equal(copy, other.T)


@pytest.mark.parametrize("generator", ["torch", "numpy"])
def test_a_copy_under_a_script_has_the_final_values_of_the_other(generator: str) -> None:
    rules = {
        "w": {"type": "copy", "of": "y", "index": "0:40", "axis": 1},
        "y": {"type": "copy", "of": "x", "transpose": True},
        "x": {"initializer": NORMAL, "transforms": [{"type": "scale", "value": 3}]},
    }
    shapes = {"w": [50, 40], "y": [50, 40], "x": [40, 50]}
    document = parse_spec(spec(rules, shapes, generator=generator))
    found = materialize(document, make_plan(document, platform=platform()))
    assert torch.equal(found["w"], found["x"].T)
    assert torch.equal(found["y"], found["x"].T)


def test_a_copy_follows_captures_own_inits_and_ties() -> None:
    layer = {"type": "Linear", "in_features": 8, "out_features": 8, "bias": False}
    rule = {
        "match": {"name": "b.{n}.weight"},
        "initializer": {"type": "copy", "of": "a.{n}.weight", "transpose": True},
    }
    document = {
        "architecture": {
            "type": "Module",
            "children": {
                name: {"type": "ModuleList", "layers": [layer, layer]} for name in ("a", "b")
            },
        },
        "init": {"seed": 1, "rules": [rule]},
    }
    a0, a1, b0, b1 = values(planned(document))
    assert torch.equal(b0, a0.T)
    assert torch.equal(b1, a1.T)
    parsed = parse_spec(document | {"init": document["init"] | {"generator": "torch"}})
    found = materialize(parsed, make_plan(parsed, platform=platform()))
    assert torch.equal(found["b.1.weight"], found["a.1.weight"].T)


def test_a_copy_is_judged_as_the_other_is() -> None:
    found = planned(spec({"w": {"type": "copy", "of": "x"}, "x": NORMAL}))
    copied = found.plan.tensors[0]
    value = values(found)[0]
    assert seen(copied, value)["pass"] is True
    assert seen(copied, value * 2)["pass"] is False


FAULTS: list[tuple[Rules, str, str]] = [
    ({"of": "y"}, "of", "no tensor 'y'; nearest: "),
    ({"of": "w"}, "of", "this tensor itself"),
    ({"of": "z"}, "of", "copy of this tensor"),
    ({"of": "t"}, "of", 'add "transpose": true'),
    ({"of": "x", "index": 3}, "of", r"has shape \[50\]; this tensor's is \[40, 50\]"),
    ({"of": "x", "index": 40}, "index", r"outside 0\.\.39"),
    ({"of": "x", "index": "a:b"}, "index", "is not a slice"),
    ({"of": "x", "index": 1, "axis": 2}, "axis", "outside shape"),
    ({"of": "x", "index": 1, "transpose": True}, "transpose", "two dimensions"),
    ({"of": "i"}, "of", "'i' is int64, but this is float32"),
    ({"of": "{n}"}, "of", "is not a captured integer"),
]


@pytest.mark.parametrize(("copy", "path", "reason"), FAULTS)
def test_a_copy_that_cannot_be_is_a_fault_that_leads_on(
    copy: Rules, path: str, reason: str
) -> None:
    rules = {
        "w": {"type": "copy", **copy},
        "x": NORMAL,
        "z": {"type": "copy", "of": "w"},
        "t": NORMAL,
        "i": {"type": "zeros"},
    }
    shapes = {
        "w": [40, 50], "x": [40, 50], "z": [40, 50], "t": [50, 40],
        "i": {"shape": [40, 50], "dtype": "int64"},
    }  # fmt: skip
    with pytest.raises(SpecError, match=reason) as error:
        planned(spec(rules, shapes))
    assert f"init.rules.0.initializer.{path}" in {fault.path for fault in error.value.faults}


def test_unsound_copies_are_refused() -> None:
    program = planned(spec({"w": {"type": "copy", "of": "x"}, "x": NORMAL})).plan.tensors[0].program
    for change in ({"strides": [50]}, {"offset": 1}, {"strides": [51, 1]}, {"shape": [-1, 5]}):
        broken = program_from_json(to_json(program) | change)
        with pytest.raises(ValueError, match="w"):
            check_plan(plan_of(broken))


def plan_of(program: Program) -> Plan:
    tensor = PlanTensor("w", (40, 50), BY_NAME["float32"], "parameter", "", program)
    return Plan(seed=0, generator="philox-v1", spec={}, tensors=(tensor,))
