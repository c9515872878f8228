"""Ranks of FSDP2, TP and both that load their shards with torch's own reader, through fsspec."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch.multiprocessing

from tests.support import dcp_ranks
from tests.support.clients import needed
from tests.support.dcp_ranks import Job
from tests.support.running import Running


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("world", "ways"),
    [(2, ("fsdp", "fsdp columns", "tp")), (4, ("fsdp", "tp", "fsdp x tp"))],
    ids=["two", "four"],
)
def test_a_rank_reads_its_shard_and_no_more_than_a_hundredth_beyond(
    service: Running, tmp_path: Path, world: int, ways: tuple[str, ...]
) -> None:
    """`head` has 1001 rows, which no mesh divides."""
    needed("aiohttp"), needed("fsspec")
    links = service.issue(dcp_ranks.SPEC).json()["links"]
    file = tmp_path / "whole.safetensors"
    file.write_bytes(service.http.get(links["files"]["model.safetensors"]).content)
    directory = f"{service.url}{links['dcp']}4x4/"
    job = Job(directory, f"{service.url}/metrics", file, ways, tmp_path)
    torch.multiprocessing.spawn(dcp_ranks.run, (world, job), nprocs=world)
    for rank in range(world):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found.keys() == set(ways)
        for way, result in found.items():
            print(rank, way, result)
            assert result["equal"] and result["sharded"], (rank, way)
            assert result["shard"] < result["read"] <= 1.01 * result["shard"], (rank, way, result)
