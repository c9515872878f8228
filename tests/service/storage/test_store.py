"""The contract of storage is one: a store in memory keeps it as a directory does."""

from __future__ import annotations

import pytest

from seedpoint.service.storage.store import KINDS, Store, key
from tests.service.storage.contract import StoreContract
from tests.support.memory_store import MemoryStore


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


def test_keys_are_those_of_version_0_1_and_of_names() -> None:
    name = "0123" * 16
    assert {key(kind, name) for kind in KINDS if kind != "whole_tensors"} == {
        f"plans/01/{name}.json",
        f"about/01/{name}.json",
        f"blobs/01/{name}",
        f"materialized/01/{name}.bin",
        f"statistics/01/{name}.json",
        f"digests/01/{name}.json",
    }
