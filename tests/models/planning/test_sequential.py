"""Sequential generators beside the scripts that they stand for, where tensors are tied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from seedpoint.models.plan.program import Materialized, Program, Scale, SetElement, ZeroRows
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.planning.sequential import materialize, platform, transform
from seedpoint.models.spec.schema import parse_spec

LINEAR = {"type": "Linear", "in_features": 6, "out_features": 6, "bias": False}
EMBEDDING = {"type": "Embedding", "num_embeddings": 6, "embedding_dim": 6}

Fill = Callable[[torch.Tensor], object]
Names = list[tuple[str, torch.Tensor]]


def rule(name: str | None, initializer: dict[str, Any], **more: Any) -> dict[str, Any]:
    match = {"name": name} if name else {}
    return {"match": match | more.pop("match", {}), "initializer": initializer, **more}


NORMAL = {"type": "normal", "std": 2.0}
UNIFORM = {"type": "uniform", "a": 3.0, "b": 4.0}
OWN = {"type": "own"}


def module(**children: Any) -> dict[str, Any]:
    named = [{"name": name, **child} for name, child in children.items()]
    return {"type": "Module", "children": named}


def planned(architecture: Any, rules: list[Any], generator: str, dtype: str = "float32") -> Planned:
    spec = {
        "architecture": architecture,
        "init": {"seed": 5, "generator": generator, "rules": rules},
        "dtype": dtype,
    }
    return make_plan(parse_spec(spec), platform=platform())


def made(
    architecture: Any, rules: list[Any], generator: str = "torch", dtype: str = "float32"
) -> dict[str, torch.Tensor]:
    spec = {
        "architecture": architecture,
        "init": {"seed": 5, "generator": generator, "rules": rules},
        "dtype": dtype,
    }
    return materialize(parse_spec(spec), planned(architecture, rules, generator, dtype))


def in_apply_order(root: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Parameter]]:
    """Every name of every parameter, children first: what a script by names goes through."""
    for name, child in root._modules.items():
        assert child is not None
        yield from in_apply_order(child, f"{prefix}{name}.")
    for name, parameter in root._parameters.items():
        if parameter is not None:
            yield prefix + name, parameter


def script(build: Callable[[], nn.Module], fills: dict[str, Fill]) -> dict[str, torch.Tensor]:
    """A user's script: seed, build, and fill each parameter under each of its names."""
    torch.manual_seed(5)
    root = build()
    with torch.no_grad():
        for name, parameter in in_apply_order(root):
            if name in fills:
                fills[name](parameter)
    return dict(root.state_dict())


def normal(tensor: torch.Tensor) -> object:
    return nn.init.normal_(tensor, 0.0, 2.0)


def uniform(tensor: torch.Tensor) -> object:
    return nn.init.uniform_(tensor, 3.0, 4.0)


class Tied(nn.Module):
    """An embedding whose weight is the head's, with a layer between them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 6)
        self.middle = nn.Linear(6, 6, bias=False)
        self.head = nn.Linear(6, 6, bias=False)
        self.head.weight = self.embed.weight


TIED = module(embed=EMBEDDING, middle=LINEAR, head=LINEAR) | {
    "tie": {"head.weight": "embed.weight"}
}


def equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    for name, value in found.items():
        assert torch.equal(value, expected[name].to(value.dtype)), name


@pytest.mark.parametrize("first", [0, 1])
def test_a_tied_tensor_is_drawn_under_each_name_in_the_script_s_order(first: int) -> None:
    rules = [rule("embed.weight", NORMAL), rule("head.weight", UNIFORM)]
    rules = [rules[first], rules[1 - first], rule("middle.weight", NORMAL)]
    fills = {"embed.weight": normal, "middle.weight": normal, "head.weight": uniform}
    found = made(TIED, rules)
    equal(found, script(Tied, fills))
    assert found["embed.weight"].min() >= 3  # the head's rule came last


def test_rules_by_class_are_those_of_module_apply() -> None:
    def init(layer: nn.Module) -> None:
        if isinstance(layer, nn.Embedding):
            nn.init.uniform_(layer.weight, 3.0, 4.0)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 2.0)

    torch.manual_seed(5)
    root = Tied()
    root.apply(init)
    rules = [
        rule(None, NORMAL, match={"module": "Linear"}),
        rule(None, UNIFORM, match={"module": "Embedding"}),
    ]
    equal(made(TIED, rules), dict(root.state_dict()))


def test_a_module_under_two_names_is_drawn_under_both() -> None:
    def build() -> nn.Module:
        first = nn.Linear(6, 6, bias=False)
        return nn.Sequential(first, nn.Linear(6, 6, bias=False), first)

    layers = [
        LINEAR | {"name": "0"},
        LINEAR | {"name": "1"},
        {"type": "Ref", "ref": "0", "name": "2"},
    ]
    architecture = {"type": "Sequential", "layers": layers}
    rules = [rule("2.weight", UNIFORM), rule("*.weight", NORMAL)]
    fills = {"0.weight": normal, "1.weight": normal, "2.weight": uniform}
    equal(made(architecture, rules), script(build, fills))


def test_transforms_of_a_later_name_are_applied_to_what_an_earlier_one_drew() -> None:
    rules = [
        rule("head.weight", OWN, transforms=[{"type": "scale", "value": 3.0}]),
        rule("embed.weight", UNIFORM),
    ]
    fills = {"embed.weight": uniform, "head.weight": lambda tensor: tensor.mul_(3.0)}
    found = made(TIED, rules)
    equal(found, script(Tied, fills))
    assert found["embed.weight"].min() >= 9
    (tensor,) = (t for t in planned(TIED, rules, "torch").plan.tensors if t.aliases)
    source = tensor.program.source
    assert isinstance(source, Materialized)
    assert isinstance(source.shown, Program)
    assert source.rules == (1, 0)
    assert source.shown.source.type == "uniform"
    assert [transform.type for transform in source.shown.transforms] == ["scale"]


def test_a_given_value_does_not_outlast_a_later_draw() -> None:
    constant = {"type": "constant", "val": 0.1}
    rules = [rule("embed.weight", constant), rule("head.weight", NORMAL)]
    fills = {"embed.weight": lambda tensor: tensor.fill_(0.1), "head.weight": normal}
    equal(made(TIED, rules, dtype="float64"), script(Tied, fills))
    last = made(
        TIED, [rule("head.weight", constant), rule("embed.weight", NORMAL)], dtype="float64"
    )
    assert (last["embed.weight"] == 0.1).all()  # exact, as everything given is


def test_generator_numpy_draws_in_the_same_order() -> None:
    rules = [rule("head.weight", UNIFORM), rule("**", NORMAL)]
    generator = np.random.RandomState(5)
    draws = {
        "embed.weight": generator.normal(0.0, 2.0, (6, 6)),
        "middle.weight": generator.normal(0.0, 2.0, (6, 6)),
        "head.weight": generator.uniform(3.0, 4.0, (6, 6)),
    }
    found = made(TIED, rules, "numpy")
    expected = {name: torch.from_numpy(draw).float() for name, draw in draws.items()}
    equal(found, expected | {"embed.weight": expected["head.weight"]})


def test_where_one_rule_wins_all_names_nothing_changes() -> None:
    rules = [rule("**", NORMAL)]
    equal(
        made(TIED, rules),
        script(Tied, dict.fromkeys(["embed.weight", "middle.weight", "head.weight"], normal)),
    )
    (tensor,) = (t for t in planned(TIED, rules, "torch").plan.tensors if t.aliases)
    assert tensor.program.source == Materialized(tensor.program.source.shown)  # type: ignore[union-attr]


def test_the_order_of_the_draws_is_part_of_the_id() -> None:
    """The same rule stays at last, after another one has drawn or has not."""
    both = [rule("head.weight", UNIFORM), rule("embed.weight", NORMAL)]
    plan = planned(TIED, both, "torch").plan
    (tensor,) = (t for t in plan.tensors if t.aliases)
    source = tensor.program.source
    assert isinstance(source, Materialized)
    assert source.rules == (1, 0)
    assert source.shown == planned(TIED, both[:1], "torch").plan.tensors[0].program.source.shown  # type: ignore[union-attr]
    assert '"rules":[1,0]' in plan.canonical.decode().replace(" ", "")


def test_everywhere_else_the_first_rule_wins() -> None:
    rules = [rule("embed.weight", NORMAL), rule("head.weight", UNIFORM, optional=True)]
    (tensor,) = (t for t in planned(TIED, rules, "philox-v1").plan.tensors if t.aliases)
    assert tensor.rule == 0


def test_a_transposed_parameter_is_transformed_in_place_in_logical_order() -> None:
    transposed = nn.Parameter(torch.arange(12.0).view(4, 3).t()).detach()
    expected = transposed.clone(memory_format=torch.contiguous_format)
    assert not transposed.is_contiguous()
    for value in (transposed, expected):
        transform(value, (Scale(2.0), ZeroRows((1,)), SetElement((2, 3), 7.0)))
    assert torch.equal(transposed, expected)
    assert not transposed[1].any()
    assert transposed[2, 3] == 7.0
    assert transposed[0, 1] == 6.0
