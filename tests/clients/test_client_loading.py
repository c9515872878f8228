"""Modules and state dicts that either client fills over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from seedpoint_client import Client, Problem
from torch import nn

from tests.support.client_modules import (
    FREQUENCIES,
    Tied,
    WithBuffers,
    is_equal,
    load_into,
    poisoned,
)
from tests.support.relay import Relay
from tests.support.running import Running, mlp


def test_a_module_gets_the_bits_of_the_file(
    service: Running, tied_id: str, tied_state: Any, load: Any
) -> None:
    module = poisoned(Tied())
    weight = module.get_parameter("wte.weight")
    keys = load(service.url, module, tied_id, via="http")
    assert keys == ([], [])
    assert is_equal(module, tied_state)
    assert module.get_parameter("wte.weight") is weight
    assert module.get_parameter("lm_head.weight") is weight


def test_a_module_on_meta_gets_memory_and_keeps_its_ties(
    service: Running, tied_id: str, tied_state: Any, load: Any
) -> None:
    with torch.device("meta"):
        module = Tied()
    module.get_parameter("wte.weight").is_special = True  # type: ignore[attr-defined]
    load(service.url, module, tied_id, via="http")
    assert is_equal(module, tied_state)
    assert module.get_parameter("wte.weight") is module.get_parameter("lm_head.weight")
    assert module.get_parameter("wte.weight").is_special  # type: ignore[attr-defined]


def test_a_tied_tensor_is_fetched_once(service: Running, tied_id: str) -> None:
    relay = Relay(service.url)
    load_into(service.url, Tied(), tied_id, via="http", settings={"transport": relay})
    tensors = [each.rpartition("/")[2] for each in relay.requests if "/tensors/" in each]
    assert sorted(tensors) == sorted(set(tensors))
    assert len(tensors) == 6


def test_wrappers_do_not_change_names(service: Running, tied_id: str, tied_state: Any) -> None:
    module = Tied()
    wrapped = nn.Module()
    wrapped.add_module("module", module)
    compiled = nn.Module()
    compiled.add_module("_orig_mod", wrapped)
    load_into(service.url, compiled, tied_id, via="http")
    assert is_equal(module, tied_state)


def test_values_are_converted_once_to_the_modules_dtype(
    service: Running, tied_id: str, tied_state: Any
) -> None:
    module = Tied().to(torch.bfloat16)
    load_into(service.url, module, tied_id, via="http")
    expected = {
        name: value.to(torch.bfloat16) if value.is_floating_point() else value
        for name, value in tied_state.items()
    }
    assert is_equal(module, expected)


def test_memory_that_is_not_contiguous_is_filled(
    service: Running, tied_id: str, tied_state: Any
) -> None:
    module = Tied()
    module.wte.weight = nn.Parameter(torch.zeros(32, 100).t())
    module.lm_head.weight = module.wte.weight
    load_into(service.url, module, tied_id, via="http")
    assert is_equal(module, tied_state)


def test_every_difference_is_named_and_nothing_is_changed(
    service: Running, tied_id: str, load: Any
) -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte = nn.Embedding(50, 32)
            self.norm = nn.BatchNorm1d(32)
            self.lm_heads = nn.Linear(32, 100, bias=False)

    module = poisoned(Other())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(RuntimeError) as caught:
        load(service.url, module, tied_id, via="http")
    message = str(caught.value)
    assert message.startswith(f"Other does not fit checkpoint {tied_id[:12]}: ")
    assert "wte.weight: shape [50, 32] in the module, [100, 32] in the checkpoint" in message
    assert "lm_heads.weight: in the module and not in the checkpoint" in message
    assert is_equal(module, before)


def test_a_name_that_is_missing_leads_to_the_nearest(service: Running, tied_id: str) -> None:
    module = nn.Module()
    module.norms = nn.BatchNorm1d(32)
    with pytest.raises(RuntimeError) as caught:
        load_into(service.url, module, tied_id, via="http")
    message = str(caught.value)
    assert "norms.weight: in the module and not in the checkpoint; did you mean 'norm.w" in message
    assert "norm.weight: in the checkpoint and not in the module" in message


def test_dtypes_that_cannot_be_converted_are_differences(service: Running, tied_id: str) -> None:
    module = Tied()
    module.norm.register_buffer("num_batches_tracked", torch.tensor(0.0))
    with pytest.raises(RuntimeError, match=r"norm.num_batches_tracked: dtype torch.float32 in"):
        load_into(service.url, module, tied_id, via="http")


def test_names_may_differ_if_that_is_allowed(service: Running, tied_id: str, load: Any) -> None:
    with torch.device("meta"):
        module = nn.Module()
        module.norm = nn.BatchNorm1d(32)
        module.extra = nn.Linear(2, 2, bias=False)
    keys = load(service.url, module, tied_id, strict=False, via="http")
    assert keys.missing_keys == ["extra.weight"]
    assert keys.unexpected_keys == ["wte.weight"]
    assert module.extra.weight.is_meta
    assert module.norm.weight.tolist() == [1.0] * 32


def test_a_large_tensor_comes_in_pieces(service: Running, tmp_path: Path) -> None:
    large_id = service.issue(mlp(hidden=1 << 19)).json()["id"]  # 42 MB in hidden.weight
    relay = Relay(service.url)
    with Client(service.url, transport=relay) as client:
        state = client.state_dict(large_id, via="http")
        (path,) = client.download(large_id, tmp_path)
    pieces = [each for each in relay.requests if each.endswith("/hidden.weight")]
    assert len(pieces) == 3
    assert all(
        value.equal(state[name]) for name, value in safetensors.torch.load_file(path).items()
    )


def test_a_state_dict_has_ties_under_each_name(
    service: Running, tied_id: str, tied_state: Any
) -> None:
    with Client(service.url) as client:
        found = client.state_dict(tied_id, via="http")
    assert {name: value.tolist() for name, value in found.items()} == {
        name: value.tolist() for name, value in tied_state.items()
    }
    assert found["lm_head.weight"].data_ptr() == found["wte.weight"].data_ptr()


def test_empty_and_scalar_tensors_are_tensors_too(service: Running) -> None:
    entries = [{"name": "empty", "shape": [0, 4]}, {"name": "scalar", "shape": []}]
    rules = [{"initializer": {"type": "constant", "value": 2.5}}]
    spec = {"architecture": {"type": "tensors", "tensors": entries}, "init": {"rules": rules}}
    small_id = service.issue(spec).json()["id"]
    module = nn.Module()
    module.empty = nn.Parameter(torch.empty(0, 4))
    module.scalar = nn.Parameter(torch.zeros(()))
    load_into(service.url, module, small_id, via="http")
    assert module.scalar.item() == 2.5
    with Client(service.url) as client:
        found = client.state_dict(small_id, via="http")
    assert (found["empty"].shape, found["scalar"].item()) == ((0, 4), 2.5)


# --- buffers that no state dict holds ----------------------------------------------


def test_buffers_are_set_too(service: Running, tied_id: str) -> None:
    given = {"transport": WithBuffers(service.url, {"inv_freq": FREQUENCIES})}
    with torch.device("meta"):
        module = Tied(rotary=True)
    load_into(service.url, module, tied_id, via="http", settings=given)
    assert module.get_buffer("inv_freq").equal(FREQUENCIES)


def test_buffers_stay_as_they_are_if_they_are_not_wanted(service: Running, tied_id: str) -> None:
    module = Tied(rotary=True)
    module.get_buffer("inv_freq").fill_(5)
    given = {"transport": WithBuffers(service.url, {"inv_freq": FREQUENCIES})}
    load_into(service.url, module, tied_id, via="http", buffers=False, settings=given)
    assert module.get_buffer("inv_freq").tolist() == [5, 5, 5]


def test_a_buffer_on_meta_without_a_value_is_a_difference(service: Running, tied_id: str) -> None:
    with torch.device("meta"):
        module = Tied(rotary=True)
    unknown = {"transport": WithBuffers(service.url, None)}
    with pytest.raises(RuntimeError, match=r"inv_freq: a buffer on meta .* or pass buffers=False"):
        load_into(service.url, module, tied_id, via="http", settings=unknown)


def test_a_buffer_of_another_shape_is_a_difference(service: Running, tied_id: str) -> None:
    given = {"transport": WithBuffers(service.url, {"inv_freq": torch.zeros(4)})}
    with pytest.raises(RuntimeError, match=r"inv_freq: shape \[3\] in the module, \[4\] beside"):
        load_into(service.url, Tied(rotary=True), tied_id, via="http", settings=given)


def test_a_service_that_gives_no_buffers_says_so(service: Running, tied_id: str) -> None:
    unknown = Client(service.url, transport=WithBuffers(service.url, None))
    with unknown, pytest.raises(Problem, match="404"):
        unknown.buffers(tied_id)
    values = {"inv_freq": FREQUENCIES}
    with Client(service.url, transport=WithBuffers(service.url, values)) as client:
        assert client.buffers(tied_id)["inv_freq"].equal(FREQUENCIES)
        assert client.get(tied_id).buffers()["inv_freq"].equal(FREQUENCIES)
