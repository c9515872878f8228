"""Modules that the installed core fills from the plan that either client gets."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from seedpoint_client import Client
from torch import nn

import seedpoint
from tests.support.client_modules import (
    FREQUENCIES,
    Tied,
    WithBuffers,
    is_equal,
    load_into,
    poisoned,
)
from tests.support.relay import Relay
from tests.support.running import Running


class PlatformMismatch(RuntimeError):
    pass


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A package `seedpoint` that notes what its `load_into` and `state_dict` get."""
    module: Any = ModuleType("seedpoint")
    module.__spec__ = ModuleSpec("seedpoint", None)
    module.calls = []
    module.error = None
    module.PlatformMismatch = PlatformMismatch

    def fill(target: nn.Module, source: Any, **options: Any) -> Any:
        module.calls.append((source, options))
        if module.error is not None:
            raise module.error
        return SimpleNamespace(missing_keys=["a"], unexpected_keys=["b"])

    def make(source: Any, **options: Any) -> Any:
        module.calls.append((source, options))
        if module.error is not None:
            raise module.error
        return {"made": torch.zeros(1)}

    module.load_into, module.state_dict = fill, make
    monkeypatch.setitem(sys.modules, "seedpoint", module)
    return module


def test_the_core_computes_from_the_plan_alone(
    service: Running, tied_id: str, load: Any, core: Any
) -> None:
    relay = Relay(service.url)
    keys = load(service.url, Tied(), tied_id, strict=False, settings={"transport": relay})
    assert keys == (["a"], ["b"])
    plan = service.http.get(f"/v1/checkpoints/{tied_id}/plan").content
    assert core.calls == [(plan, {"strict": False, "device": None, "buffers": True})]
    assert relay.requests == [f"GET /v1/checkpoints/{tied_id}/plan"]
    with Client(service.url) as client:
        assert list(client.state_dict(tied_id, device="meta")) == ["made"]
    assert core.calls[-1] == (plan, {"device": "meta"})


def test_the_core_gets_the_buffers_of_a_module_that_has_some(
    service: Running, tied_id: str, core: Any
) -> None:
    given = {"transport": WithBuffers(service.url, {"inv_freq": FREQUENCIES})}
    load_into(service.url, Tied(rotary=True), tied_id, settings=given)
    ((source, _),) = core.calls
    assert source.plan() == service.http.get(f"/v1/checkpoints/{tied_id}/plan").content
    assert source.buffers()["inv_freq"].equal(FREQUENCIES)


def test_what_the_core_cannot_compute_here_is_fetched(
    service: Running, tied_id: str, tied_state: Any, load: Any, core: Any
) -> None:
    core.error = PlatformMismatch("made with AVX-512")
    module = poisoned(Tied())
    load(service.url, module, tied_id)
    assert is_equal(module, tied_state)
    with Client(service.url) as client:
        assert client.state_dict(tied_id).keys() == tied_state.keys()
    with pytest.raises(PlatformMismatch):
        load(service.url, module, tied_id, via="plan")


def test_without_the_core_a_plan_is_no_way(
    service: Running, tied_id: str, tied_state: Any, load: Any, core: Any
) -> None:
    del core.load_into
    with pytest.raises(ImportError, match='via="plan" needs the package seedpoint'):
        load(service.url, Tied(), tied_id, via="plan")
    module = poisoned(Tied())
    load(service.url, module, tied_id)
    assert is_equal(module, tied_state)


@pytest.mark.skipif(not hasattr(seedpoint, "load_into"), reason="the core has no load_into")
def test_both_ways_give_the_same_bits(
    service: Running, tied_id: str, tied_state: Any, load: Any
) -> None:
    module = poisoned(Tied())
    keys = load(service.url, module, tied_id, via="plan")
    assert keys == ([], [])
    assert is_equal(module, tied_state)
    with Client(service.url) as client:
        assert client.state_dict(tied_id, via="plan").keys() == tied_state.keys()
        load_of_core = seedpoint.load_into
        again = poisoned(Tied())
        load_of_core(again, client.get(tied_id))
        assert is_equal(again, tied_state)
