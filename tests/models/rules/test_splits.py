"""Parts of a tensor with initializers of their own, repeated along an axis."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from torch import nn

from seedpoint.models.draws import Normal, Uniform
from seedpoint.models.plan.plan import Plan
from seedpoint.models.plan.program import Base, ClampRegion, Constant, Part, Program, Scale, Split
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import normalized, parse_spec
from seedpoint.models.statistics.expected import expected
from seedpoint.models.verify.soundness import check_plan
from tests.support.issued import evaluated, issued, stretch
from tests.support.plans import faults, normal, plan, rule, tensor

ONES, ZEROS, OWN = ({"type": kind} for kind in ("ones", "zeros", "own"))


def tensors(*shape: int, dtype: str = "float32") -> dict[str, Any]:
    return {"type": "tensors", "tensors": {"w": {"shape": list(shape), "dtype": dtype}}}


def spec(architecture: dict[str, Any], *rules: Any, **init: Any) -> dict[str, Any]:
    return {"architecture": architecture, "init": {"rules": list(rules), **init}}


def split(parts: list[Any], initializer: Any = ZEROS, **more: Any) -> dict[str, Any]:
    return rule({}, initializer, splits={"parts": parts, **more})


def test_a_part_has_an_initializer_transforms_and_fans_of_its_own() -> None:
    parts = [
        {"size": 2, "initializer": {"type": "constant", "value": "fan_in"}},
        {"size": 1, "initializer": ONES, "transforms": [{"type": "scale", "value": "numel"}]},
        {
            "size": 3,
            "initializer": {"type": "constant", "value": "fan_in"},
            "fan": {"in_axes": [0], "out_axes": [1]},
        },
        {"size": 2},
    ]
    found = issued(spec(tensors(8, 4), split(parts)))["w"]
    assert found[:, 0].tolist() == [4.0, 4.0, 4.0, 3.0, 3.0, 3.0, 0.0, 0.0]


def test_transforms_of_a_part_count_its_own_elements_and_precede_the_rules() -> None:
    one = {"size": 2, "transforms": [{"type": "set", "index": [-1, 0], "value": 5}]}
    given = split([{"size": 2}, one], ONES) | {"transforms": [{"type": "scale", "value": 2}]}
    assert issued(spec(tensors(4, 1), given))["w"].flatten().tolist() == [2.0, 2.0, 2.0, 10.0]


@pytest.mark.parametrize(("shape", "axis"), [((24, 5), 0), ((7, 24), 1), ((3, 24, 2), 1)])
def test_repeated_parts_are_the_parts_written_out(shape: tuple[int, ...], axis: int) -> None:
    parts: list[Any] = [{"size": 3}, {"size": 1, "initializer": ONES}, {"size": 2}]
    repeated, written = (
        make_plan(parse_spec(spec(tensors(*shape), given)))
        for given in (
            split(parts, normal(), axis=axis, repeat=4),
            split(parts * 4, normal(), axis=axis),
        )
    )
    whole = evaluated(repeated)["w"]
    assert torch.equal(whole, evaluated(written)["w"])
    chosen = random.Random(0)
    for _ in range(30):
        start, stop = sorted(chosen.sample(range(whole.numel() + 1), 2))
        piece = stretch(repeated, "w", start, stop)
        assert torch.equal(piece, whole.flatten()[start:stop])


def test_repeated_parts_are_stored_by_their_pattern() -> None:
    found = plan(tensors(90_000, 2), split([{"size": 1}, {"size": 2}], normal(), repeat=30_000))
    source = tensor(found, "w").program.source
    assert isinstance(source, Split)
    assert (len(source.parts), source.repeat) == (2, 30_000)
    assert len(found.record) < 2000


def test_a_part_keeps_the_own_init_at_its_place() -> None:
    layer = {"type": "Linear", "in_features": 5, "out_features": 12}
    parts = [
        {"size": 2, "initializer": OWN},
        {"size": 1, "initializer": ONES},
        {"size": 1, "initializer": OWN, "transforms": [{"type": "scale", "value": 2}]},
    ]
    own = issued(spec(layer))["weight"]
    given = split(parts, repeat=3) | {"match": {"name": "weight"}}
    planned = make_plan(parse_spec(spec(layer, given)))
    found = evaluated(planned)["weight"]
    expected = own.clone()
    expected[2::4], expected[3::4] = 1, own[3::4] * 2
    assert torch.equal(found, expected)
    for start in range(0, 60, 7):
        piece = stretch(planned, "weight", start, start + 4)
        assert torch.equal(piece, expected.flatten()[start : start + 4])


def test_plans_of_parts_are_sound_and_read_back() -> None:
    layer = {"type": "Linear", "in_features": 4, "out_features": 12}
    parts = [{"size": 2, "initializer": OWN}, {"size": 1, "initializer": normal()}]
    clamped = {"type": "clamp", "min": 0, "index": ["1:3"]}
    given = split(parts, repeat=4) | {"match": {"name": "weight"}, "transforms": [clamped]}
    stacked = rule({}, {"type": "orthogonal"}, fan={"batch_axes": [0]})
    for found in (plan(layer, given), plan(tensors(3, 4, 5), stacked)):
        check_plan(found)
        assert Plan.from_record(found.record).tensors == found.tensors


def test_many_parts_have_the_law_of_the_parts_written_out() -> None:
    inner = (Part(2, Program(Normal.of(1.0, 2.0))), Part(1, Program(Constant(5.0))))
    shape = (24, 10)
    for transforms in ((), (Scale(2.0),)):
        repeated = expected(Program(Split(0, inner, repeat=8), transforms), shape)
        written = expected(Program(Split(0, inner * 8), transforms), shape)
        assert repeated.mean == pytest.approx(written.mean)
        assert repeated.std == pytest.approx(written.std)


def test_kept_parts_and_clamped_boxes_have_the_law_of_their_base() -> None:
    base = Program(Normal.of(0.0, 1.0))
    kept = Program(Split(0, (Part(3, Program(Base())), Part(1, Program(Constant(0.0)))), base=base))
    assert expected(kept, (4, 10)).std == pytest.approx(math.sqrt(0.75))
    box = ClampRegion(((0, 2, 1), (0, 10, 1)), 0.0, 0.0)
    clamped = expected(Program(Normal.of(0.0, 1.0), (box,)), (4, 10))
    assert clamped.std == pytest.approx(math.sqrt(0.5))


def test_the_rules_own_init_stays_where_parts_have_no_initializer() -> None:
    layer = {"type": "Linear", "in_features": 5, "out_features": 4}
    given = rule(
        {"name": "weight"},
        OWN,
        splits={"axis": -1, "parts": [{"size": 3}, {"size": 2, "initializer": normal()}]},
    )
    source = tensor(plan(layer, given), "weight").program.source
    assert isinstance(source, Split)
    assert source.base is not None
    assert isinstance(source.base.source, Uniform)
    assert source.parts[0] == Part(3, Program(Base()))


def test_generator_torch_draws_the_parts_as_a_script_does() -> None:
    layer = {"type": "Linear", "in_features": 5, "out_features": 4}
    given = rule(
        {"name": "weight"},
        OWN,
        splits={
            "parts": [
                {"size": 1, "initializer": {"type": "xavier_normal"}},
                {"size": 1},
                {
                    "size": 2,
                    "initializer": normal(),
                    "transforms": [{"type": "clamp", "max": 0.5}],
                },
            ]
        },
    )
    found = issued(spec(layer, given, generator="torch", seed=3))
    torch.manual_seed(3)
    script = nn.Linear(5, 4)
    with torch.no_grad():
        nn.init.xavier_normal_(script.weight[:1])
        nn.init.normal_(script.weight[2:]).clamp_(max=0.5)
    assert torch.equal(found["weight"], script.weight.detach())


def test_repeated_parts_take_names_with_the_number_of_the_repetition() -> None:
    parts = [{"size": 2, "as": "q.{repeat}"}, {"size": 1}]
    found = issued(spec(tensors(9, 4), split(parts, normal(), repeat=3)))["w"]
    heads = {f"q.{head}": {"shape": [2, 4]} for head in range(3)}
    unfused = issued(spec({"type": "tensors", "tensors": heads}, rule({}, normal())))
    for head in range(3):
        assert torch.equal(found[3 * head : 3 * head + 2], unfused[f"q.{head}"])


@pytest.mark.parametrize(
    ("given", "path", "said"),
    [
        (
            split([{"size": 2, "as": "q"}], normal(), repeat=2),
            "splits.parts.0.as",
            "write {repeat} for the number",
        ),
        (split([{"size": 3}], repeat=2), "splits.parts", "sizes sum to 6 in 2 repetitions"),
        (split([{"size": 1}], repeat=200_000), "splits", "at most 100000 parts"),
        (split([{"size": 2, "initializer": OWN}, {"size": 2}]), None, "no own init"),
        (
            split([{"size": 4, "initializer": [OWN, ONES]}]),
            "splits.parts.0.initializer",
            "own must be the only initializer",
        ),
        (
            split([{"size": 4, "initializer": {"type": "constant", "val": "x"}}]),
            "splits.parts.0.initializer.val",
            "unknown name 'x'",
        ),
    ],
)
def test_faults_name_the_part(given: Any, path: str | None, said: str) -> None:
    ((found, message),) = faults(tensors(4, 3), given).items()
    assert found == ("architecture.tensors.w" if path is None else f"init.rules.0.{path}")
    assert said in message


def test_a_canonical_spec_with_parts_parses_to_itself() -> None:
    parts = [{"size": 2, "initializer": [ONES]}, {"size": 2, "fan": {"batch_axes": [0]}}]
    document = normalized(parse_spec(spec(tensors(4, 3, 3), split(parts))))
    first, second = document["init"]["rules"][0]["splits"]["parts"]
    assert first == {"size": 2, "initializer": ONES}
    assert second == {"size": 2, "fan": {"batch_axes": [0]}}
    assert normalized(parse_spec(document)) == document
