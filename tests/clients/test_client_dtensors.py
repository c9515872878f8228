"""Local shards of DTensors over HTTP: by real processes, and by arithmetic."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from seedpoint_client.loading.windows import Window, strided, windows

from tests.clients.dtensor_ranks import SHAPES
from tests.support.places import ROOT
from tests.support.running import Running

SCRIPT = Path(__file__).with_name("dtensor_ranks.py")
RANKS = 4


@pytest.mark.timeout(600)
def test_every_rank_fetches_its_own_shards_and_no_more(service: Running) -> None:
    entries = [{"name": name, "shape": list(shape)} for name, shape in SHAPES.items()]
    rules = [{"initializer": {"type": "normal"}}]
    spec = {"architecture": {"type": "tensors", "tensors": entries}, "init": {"rules": rules}}
    id = service.issue(spec).json()["id"]
    ranks = ("--standalone", "--nproc-per-node", str(RANKS))
    paths = os.pathsep.join(map(str, (ROOT / "src", ROOT / "client", ROOT)))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *ranks, str(SCRIPT), service.url, id],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("every shard is that of the whole") == RANKS


@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 9), st.data())
def test_shards_are_those_of_chunk(
    size: int, pieces: int, shards: int, data: st.DataObject
) -> None:
    """A plain shard is torch.chunk's; a strided one is that of each piece, one after the other."""
    number = data.draw(st.integers(0, shards - 1))
    whole = torch.arange(size)

    def chunk(values: torch.Tensor, count: int, at: int) -> torch.Tensor:
        # torch.chunk leaves out empty chunks, and gives one for an empty tensor.
        found = values.chunk(count) if len(values) else ()
        return found[at] if at < len(found) else values[:0]

    expected = torch.cat([chunk(chunk(whole, pieces, at), shards, number) for at in range(pieces)])
    found = strided([range(size)] if size else [], pieces, shards, number)
    assert [index for part in found for index in part] == expected.tolist()


@given(st.lists(st.integers(0, 6), max_size=3), st.integers(1, 30))
def test_pieces_of_a_window_are_the_window(shape: list[int], most: int) -> None:
    whole = torch.arange(max(1, torch.Size(shape).numel()))[: torch.Size(shape).numel()]
    whole = whole.reshape(shape)
    out = torch.full(shape, -1)
    (window,) = windows([[range(size)] for size in shape])
    for piece in window.pieces(most):
        part = whole[piece.whole]
        assert part.numel() <= most
        assert tuple(part.shape) == piece.shape
        assert bool((out[piece.local] == -1).all())
        out[piece.local] = part
    assert out.equal(whole)


def test_windows_lie_side_by_side_in_memory() -> None:
    found = windows([[range(2), range(4, 6)], [range(1, 3)]])
    assert found == [
        Window((slice(0, 2), slice(1, 3)), (slice(0, 2), slice(0, 2))),
        Window((slice(4, 6), slice(1, 3)), (slice(2, 4), slice(0, 2))),
    ]
    assert windows([[], [range(3)]]) == []
