"""Many specs, one after another, leave the service as it was; `benchmarks/soak.py` for more."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks import soak
from benchmarks.processes import memory_bytes, seedpoint

WARM, POSTS = 100, 300
GROWTH_BYTES = 48 << 20  # Allocators' and caches' own; a leak of 160 kB a spec would be more.


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="looks into /proc")
def test_neither_memory_nor_files_nor_processes_grow_with_the_number_of_specs() -> None:
    with seedpoint("--cached-tensors", "100", "--recorded-tensors", "50") as server:
        soak.post(server, range(WARM))
        before = set(soak.descendants(server.pid))
        files, memory = soak.open_files(server.pid), memory_bytes(server.pid)
        statuses = soak.post(server, range(WARM, WARM + POSTS))
        assert statuses == Counter({201: POSTS - POSTS // 50, 422: POSTS // 50})
        assert set(soak.descendants(server.pid)) == before
        assert soak.open_files(server.pid) <= files + 2  # A thread or two of the server's own.
        assert memory_bytes(server.pid) < memory + GROWTH_BYTES


def test_no_spec_of_the_soak_is_another() -> None:
    numbers = range(1000)
    assert len({str(soak.spec(number)) for number in numbers}) == len(numbers)
