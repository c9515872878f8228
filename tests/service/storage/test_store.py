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


ADDED = ("uploads", "whole_tensors")  # after version 0.1


def test_keys_are_those_of_version_0_1() -> None:
    name = "0123" * 16
    assert {key(kind, name) for kind in KINDS if kind not in ADDED} == {
        f"plans/01/{name}.json",
        f"blobs/01/{name}",
        f"materialized/01/{name}.bin",
        f"statistics/01/{name}.json",
        f"digests/01/{name}.json",
    }
