"""`load_into`, in one process: memory, ties, dtypes, names, and every difference at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

import seedpoint
from tests.models.ranks.conftest import SPEC, Model, assert_whole, on_meta

Whole = dict[str, torch.Tensor]


def test_a_module_is_filled_in_place(checkpoint: seedpoint.Checkpoint, whole: Whole) -> None:
    model = Model()
    memory = {name: value.data_ptr() for name, value in model.state_dict().items()}
    keys = seedpoint.load_into(model, checkpoint)
    assert keys == ([], [])
    assert_whole(model, whole)
    assert {name: value.data_ptr() for name, value in model.state_dict().items()} == memory


def test_a_module_on_meta_gets_memory_and_keeps_what_it_is(
    checkpoint: seedpoint.Checkpoint, whole: Whole
) -> None:
    model = on_meta()
    model.norm.weight.requires_grad_(False)
    model.tokens.weight.group = "embedding"
    seedpoint.load_into(model, checkpoint)
    assert_whole(model, whole)
    assert model.head.weight is model.tokens.weight
    assert model.tokens.weight.group == "embedding"
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert trained == {name for name, _ in model.named_parameters()} - {"norm.weight"}
    assert all(value.is_leaf for value in model.parameters())
    model.cell(torch.zeros(3, 2, 24))  # an LSTM keeps references to its weights


def test_what_to_empty_separates_is_tied_again(
    checkpoint: seedpoint.Checkpoint, whole: Whole
) -> None:
    model = on_meta().to_empty(device="cpu")
    for value in model.state_dict().values():
        value.fill_(torch.nan if value.is_floating_point() else -1)
    assert model.head.weight is not model.tokens.weight
    seedpoint.load_into(model, checkpoint)
    assert model.head.weight is model.tokens.weight
    assert_whole(model, whole)


def test_parameters_that_differ_in_kind_are_not_tied(
    checkpoint: seedpoint.Checkpoint, whole: Whole
) -> None:
    model = Model(tied=False)
    model.head.weight.requires_grad_(False)
    seedpoint.load_into(model, checkpoint)
    assert model.head.weight is not model.tokens.weight
    assert_whole(model, whole)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_values_are_converted_once_to_another_dtype(
    checkpoint: seedpoint.Checkpoint, whole: Whole, dtype: torch.dtype
) -> None:
    model = on_meta().to(dtype)
    seedpoint.load_into(model, checkpoint)
    assert {value.dtype for value in model.parameters()} == {dtype}
    assert_whole(model, whole)


def test_memory_that_is_not_contiguous_is_filled(
    checkpoint: seedpoint.Checkpoint, whole: Whole
) -> None:
    model = Model()
    for name in ("square", "tokens"):
        layer = model.get_submodule(name)
        shape = layer.weight.shape
        layer.weight = nn.Parameter(torch.full(shape[::-1], torch.nan).T)
    model.head.weight = model.tokens.weight
    seedpoint.load_into(model, checkpoint)
    assert not model.square.weight.is_contiguous()
    assert_whole(model, whole)


def test_the_default_device_of_meta_is_the_cpu_and_real_tensors_stay(
    checkpoint: seedpoint.Checkpoint, whole: Whole
) -> None:
    model = on_meta()
    model.norm = nn.BatchNorm1d(24)
    kept = model.norm.weight
    seedpoint.load_into(model, checkpoint, device="cpu")
    assert model.norm.weight is kept
    assert_whole(model, whole)


def test_wrappers_do_not_hide_a_module(checkpoint: seedpoint.Checkpoint, whole: Whole) -> None:
    model = Model()
    model.square = checkpoint_wrapper(model.square)
    compiled = torch.compile(model, backend="eager")
    parallel = nn.DataParallel(compiled)
    seedpoint.load_into(parallel, checkpoint)
    model.square = model.square._checkpoint_wrapped_module
    assert_whole(model, whole)


def test_a_part_is_loaded_under_its_prefix(checkpoint: seedpoint.Checkpoint, whole: Whole) -> None:
    layer = nn.Linear(24, 24)
    assert seedpoint.load_into(layer, checkpoint, prefix="square") == ([], [])
    assert_whole(layer, whole, "square.")


def test_names_of_another_framework(checkpoint: seedpoint.Checkpoint, whole: Whole) -> None:
    model = nn.ModuleDict({"dense_0": nn.Linear(24, 24), "emb": nn.Embedding(50, 24)})
    rename = {
        "dense_{n}.weight": "square.weight",
        "dense_{n}.bias": "square.bias",
        "emb.weight": "head.weight",
    }
    keys = seedpoint.load_into(model, checkpoint, rename=rename, strict=False)
    assert keys.missing_keys == []
    assert {name.partition(".")[0] for name in keys.unexpected_keys} == {"norm", "cell"}
    assert torch.equal(model["dense_0"].weight, whole["square.weight"])
    assert torch.equal(model["emb"].weight, whole["tokens.weight"])


def test_without_strict_what_is_missing_stays(checkpoint: seedpoint.Checkpoint) -> None:
    model = on_meta()
    model.extra = nn.Linear(2, 2, device="meta")
    del model.cell
    keys = seedpoint.load_into(model, checkpoint, strict=False)
    assert keys.missing_keys == ["extra.weight", "extra.bias"]
    assert {name.partition(".")[0] for name in keys.unexpected_keys} == {"cell"}
    assert model.extra.weight.is_meta
    assert not model.square.weight.is_meta


# --- refusals --------------------------------------------------------------------------


def test_every_difference_is_in_one_error(checkpoint: seedpoint.Checkpoint) -> None:
    model = on_meta()
    model.square = nn.Linear(24, 25, device="meta")
    model.norm = nn.LayerNorm(24, device="meta")
    model.cell_ = model.cell
    del model.cell
    with pytest.raises(seedpoint.ModuleMismatch) as caught:
        seedpoint.load_into(model, checkpoint)
    text, found = str(caught.value), caught.value.differences
    assert "square.weight: shape [25, 24] in the module, [24, 24] in the checkpoint" in found
    assert "square.bias: shape [25] in the module, [24] in the checkpoint" in found
    assert "norm.running_mean: in the checkpoint and not in the module" in found
    assert (
        "cell_.weight_ih_l0: in the module and not in the checkpoint; "
        "did you mean 'cell.weight_ih_l0'?"
    ) in found
    assert len(found) == 2 + 3 + 4 + 4
    assert text.startswith("Model does not fit checkpoint ")
    assert all(f"\n  {line}" in text for line in found)
    assert all(value.is_meta for value in model.state_dict().values())


def test_an_integer_parameter_takes_no_floats(checkpoint: seedpoint.Checkpoint) -> None:
    model = Model()
    model.norm.num_batches_tracked = torch.zeros((), dtype=torch.float32)
    model.square.bias = nn.Parameter(torch.zeros(24, dtype=torch.int8), requires_grad=False)
    with pytest.raises(seedpoint.ModuleMismatch) as caught:
        seedpoint.load_into(model, checkpoint)
    assert set(caught.value.differences) == {
        "norm.num_batches_tracked: torch.float32 in the module, torch.int64 in the checkpoint",
        "square.bias: torch.int8 in the module, torch.float32 in the checkpoint",
    }


def test_a_lazy_module_has_no_shape(checkpoint: seedpoint.Checkpoint) -> None:
    model = Model()
    model.square = nn.LazyLinear(24)
    with pytest.raises(seedpoint.ModuleMismatch, match=r"square.weight: it is lazy"):
        seedpoint.load_into(model, checkpoint)


def test_a_subclass_of_tensor_is_refused(checkpoint: seedpoint.Checkpoint) -> None:
    from torch.testing._internal.two_tensor import TwoTensor

    model = Model()
    model.square.weight = nn.Parameter(TwoTensor(torch.zeros(24, 24), torch.zeros(24, 24)))
    with pytest.raises(seedpoint.ModuleMismatch, match=r"square.weight: a TwoTensor"):
        seedpoint.load_into(model, checkpoint)


# --- buffers that no state dict holds -------------------------------------------------------


class Rotary(Model):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("inv_freq", torch.arange(4.0), persistent=False)


class Client:
    """A checkpoint of the client, as `load_into` sees one."""

    def __init__(self, checkpoint: seedpoint.Checkpoint, values: dict[str, Any]) -> None:
        self.asked = 0
        self._checkpoint, self._values = checkpoint, values

    def plan(self) -> bytes:
        return self._checkpoint.plan.canonical

    def buffers(self) -> dict[str, Any]:
        self.asked += 1
        return self._values


def test_a_client_is_asked_for_buffers_only_when_there_are_any(
    checkpoint: seedpoint.Checkpoint, whole: Whole
) -> None:
    client = Client(checkpoint, {"inv_freq": torch.arange(4.0) / 8})
    seedpoint.load_into(Model(), client)
    assert client.asked == 0
    with torch.device("meta"):
        model = Rotary().to(torch.float16)
    seedpoint.load_into(model, client)
    assert model.inv_freq.dtype == torch.float16
    assert model.inv_freq.tolist() == [0, 0.125, 0.25, 0.375]
    assert_whole(model, whole)


def test_a_buffer_without_a_value_is_not_left_as_garbage(
    checkpoint: seedpoint.Checkpoint, whole: Whole
) -> None:
    with torch.device("meta"):
        model = Rotary()
    with pytest.raises(seedpoint.ModuleMismatch, match="inv_freq: a buffer on meta"):
        seedpoint.load_into(model, checkpoint)
    assert model.tokens.weight.is_meta
    seedpoint.load_into(model, checkpoint, buffers=False)
    assert model.inv_freq.is_meta
    assert_whole(model, whole)
    real = Rotary()
    seedpoint.load_into(real, checkpoint)
    assert real.inv_freq.tolist() == [0, 1, 2, 3]


def test_a_buffer_of_another_shape_is_a_difference(checkpoint: seedpoint.Checkpoint) -> None:
    client = Client(checkpoint, {"inv_freq": torch.zeros(5)})
    with pytest.raises(
        seedpoint.ModuleMismatch, match=r"inv_freq: shape \[4\] in the module, \[5\]"
    ):
        seedpoint.load_into(Rotary(), client)


def test_the_spec_is_left_as_it_was() -> None:
    before = repr(SPEC)
    seedpoint.load_into(Model(), SPEC)
    assert repr(SPEC) == before
