"""Models of other libraries inside a tree: as at the top, under the names of the tree."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from seedpoint.models.architectures import normalized, parse
from seedpoint.models.errors import LimitExceeded, SpecError
from seedpoint.models.planning.compiler import Planned, make_plan
from seedpoint.models.planning.sequential import materialize, platform
from seedpoint.models.spec.limits import Limits
from seedpoint.models.spec.schema import parse_spec
from tests.support.trees import Document, faults, linear, paths, ref, repeat, sequential

GPT2: Document = {"type": "preset", "name": "gpt2-tiny"}


def module(**children: Document) -> Document:
    return {"type": "Module", "children": children}


def planned(architecture: Document, **more: Any) -> Planned:
    return make_plan(parse_spec({"architecture": architecture, **more}))


def dtypes(architecture: Document, **more: Any) -> dict[str, str]:
    return {t.name: t.dtype.name for t in planned(architecture, **more).plan.tensors}


def as_a_script(architecture: Document, **more: Any) -> dict[str, torch.Tensor]:
    init = {"seed": 7, "generator": "torch"}
    spec = parse_spec({"architecture": architecture, "init": init, **more})
    return materialize(spec, make_plan(spec, platform=platform()))


def test_its_tensors_have_the_programs_of_the_model_alone_under_a_prefix() -> None:
    alone, inside = planned(GPT2).plan, planned(module(module=GPT2)).plan
    assert [tensor.name for tensor in inside.tensors] == [
        f"module.{tensor.name}" for tensor in alone.tensors
    ]
    for tensor, own in zip(inside.tensors, alone.tensors, strict=True):
        assert (tensor.program, tensor.dtype) == (own.program, own.dtype)
        assert tensor.aliases == tuple(f"module.{alias}" for alias in own.aliases)
    assert alone.files
    assert not inside.files


def test_a_script_constructs_the_children_in_order() -> None:
    from transformers import AutoModelForCausalLM

    found = as_a_script(module(first=linear(), lm=GPT2, last=linear()))
    torch.manual_seed(7)
    expected = nn.Module()
    expected.first = nn.Linear(4, 4)
    config = normalized(parse(GPT2))["config"]
    from transformers import GPT2Config

    expected.lm = AutoModelForCausalLM.from_config(GPT2Config(**config))
    expected.last = nn.Linear(4, 4)
    state = expected.state_dict()
    assert set(found) == set(state) - {"lm.lm_head.weight"}  # tied, stored once
    assert all(torch.equal(value, state[name]) for name, value in found.items())


def test_it_is_stored_in_the_dtype_of_its_config_and_its_neighbours_in_theirs() -> None:
    half = {**GPT2, "overrides": {"dtype": "bfloat16"}}
    tree = module(lm=half, head=linear())
    found = dtypes(tree)
    assert {found[name] for name in found if name.startswith("lm.")} == {"bfloat16"}
    assert found["head.weight"] == "float32"
    assert set(dtypes(tree, dtype="float16").values()) == {"float16"}
    drawn = as_a_script(tree)
    assert drawn["lm.transformer.wte.weight"].dtype == torch.bfloat16
    assert drawn["head.weight"].dtype == torch.float32


def test_a_tensor_keeps_the_dtype_that_the_library_gives_it() -> None:
    model = {"type": "preset", "name": "t5-tiny"}
    alone, inside = dtypes(model, dtype="float16"), dtypes(module(a=model), dtype="float16")
    assert set(alone.values()) == {"float16", "float32"}
    assert inside == {f"a.{name}": dtype for name, dtype in alone.items()}


def test_copies_and_references_are_models_of_the_library() -> None:
    found = planned(sequential(repeat(2, GPT2), ref("0.1.transformer.wpe"))).plan
    names = {name: tensor for tensor in found.tensors for name in (tensor.name, *tensor.aliases)}
    assert names["1.weight"] is names["0.1.transformer.wpe.weight"]
    assert names["0.0.transformer.wpe.weight"] is not names["0.1.transformer.wpe.weight"]


def test_a_tie_goes_across() -> None:
    head = linear(64, 512, bias=False, tie={"weight": "lm.transformer.wte.weight"})
    found = planned(module(lm=GPT2, head=head)).plan
    aliases = {tensor.name: tensor.aliases for tensor in found.tensors}
    assert aliases["lm.transformer.wte.weight"] == ("lm.lm_head.weight", "head.weight")
    own = {**GPT2, "tie": {"transformer.wte.weight": "table.weight"}}
    table = {"type": "Embedding", "num_embeddings": 512, "embedding_dim": 64}
    names = {t.name for t in planned(module(table=table, lm=own)).plan.tensors}
    assert "table.weight" in names
    assert "lm.transformer.wte.weight" not in names


def test_the_canonical_form_has_the_architecture_of_a_preset() -> None:
    tree = module(lm={**GPT2, "tie": {"lm_head.weight": "lm.transformer.wte.weight"}})
    canonical = normalized(parse(tree))
    [child] = canonical["children"]
    assert (child["type"], child["name"]) == ("transformers", "lm")
    assert child["tie"]
    assert normalized(parse(canonical)) == canonical


def test_the_name_of_a_preset_is_not_the_name_of_a_child() -> None:
    listed = {"type": "Module", "children": [GPT2]}
    assert faults(listed) == [
        (
            "architecture.children.0.name",
            "is the preset's; write children as an object, whose keys are the names",
        )
    ]
    assert planned(sequential(GPT2)).plan.tensors[0].name.startswith("0.")


def test_a_fault_of_the_model_is_at_its_place() -> None:
    wrong = {"type": "transformers", "config": {"model_type": "gpt2", "n_layer": -1}}
    with pytest.raises(SpecError) as caught:
        planned(module(lm=wrong))
    assert [fault.path for fault in caught.value.faults] == [
        "architecture.children.lm.config.n_layer"
    ]


def test_a_layer_that_is_copied_is_no_model_of_a_library() -> None:
    encoder = {"type": "TransformerEncoder", "num_layers": 2, "encoder_layer": GPT2}
    assert paths(encoder) == ["architecture.encoder_layer"]


def test_at_the_top_it_has_no_name_tie_or_input_shape() -> None:
    model = {"type": "transformers", "config": {"model_type": "gpt2"}}
    for field, value in (("name", "lm"), ("tie", {"a": "b"}), ("input_shape", [1])):
        assert paths({**model, field: value}) == [f"architecture.{field}"]


def test_a_lazy_layer_does_not_stand_beside_it() -> None:
    lazy = {"type": "LazyLinear", "out_features": 2}
    assert paths(sequential(GPT2, lazy, input_shape=[1, 4])) == ["architecture.layers.1.type"]


@pytest.mark.parametrize(
    "architecture", [repeat(40, GPT2), sequential(GPT2, *(ref("0") for _ in range(40)))]
)
def test_its_modules_are_counted_under_every_name(architecture: Document) -> None:
    spec = parse_spec({"architecture": architecture})
    make_plan(spec)
    with pytest.raises(LimitExceeded):
        make_plan(spec, limits=Limits(modules=500))
