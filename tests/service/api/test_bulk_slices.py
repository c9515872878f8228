"""Slices of many tensors in one answer, and all that a rank holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.support.running import Running

SPEC: dict[str, Any] = {
    "architecture": {
        "type": "Sequential",
        "layers": {
            "embed": {"type": "Embedding", "num_embeddings": 50, "embedding_dim": 24},
            "norm": {"type": "BatchNorm1d", "num_features": 24},
            "head": {"type": "Linear", "in_features": 24, "out_features": 50},
        },
    },
    "dtype": "bfloat16",
}


class Issued:
    def __init__(self, service: Running) -> None:
        self.http = service.http
        resource = service.issue(SPEC).json()
        self.path = resource["links"]["slices"]
        file = service.http.get(resource["links"]["files"]["model.safetensors"])
        self.whole = safetensors.torch.load(file.content)

    def post(self, **body: Any) -> Any:
        return self.http.post(self.path, json=body)

    def load(self, **body: Any) -> dict[str, torch.Tensor]:
        answer = self.post(**body)
        assert answer.is_success, answer.text
        assert len(answer.content) == int(answer.headers["content-length"])
        return safetensors.torch.load(answer.content)


@pytest.fixture(scope="module")
def issued(service: Running) -> Issued:
    return Issued(service)


def test_slices_by_name_are_numpys(issued: Issued) -> None:
    texts = {"head.weight": "3:20,::5", "embed.weight": "", "norm.running_var": "-2:"}
    found = issued.load(slices=texts)
    assert found.keys() == texts.keys()
    assert torch.equal(found["head.weight"], issued.whole["head.weight"][3:20, ::5])
    assert torch.equal(found["embed.weight"], issued.whole["embed.weight"])
    assert torch.equal(found["norm.running_var"], issued.whole["norm.running_var"][-2:])


def torchs_shard(tensor: torch.Tensor, dim: int, size: int, place: int) -> torch.Tensor:
    chunks = torch.chunk(tensor, size, dim)
    return chunks[place] if place < len(chunks) else tensor.narrow(dim, 0, 0)


@pytest.mark.parametrize("rank", range(6))
def test_a_rank_gets_its_local_tensors(issued: Issued, rank: int) -> None:
    placements = {
        "**.num_batches_tracked": ["Replicate()", "R"],
        "*.weight": ["Shard(dim=0)", "S(-1)"],
        "head.**": ["Shard(0)", "Replicate()"],
    }
    placements = {"norm.*": ["Replicate()", "Replicate()"], **placements}
    found = issued.load(mesh=[2, 3], rank=rank, placements=placements)
    row, column = divmod(rank, 3)
    for name, whole in issued.whole.items():
        expected = whole
        if name in ("embed.weight", "head.weight"):
            expected = torchs_shard(torchs_shard(whole, 0, 2, row), -1, 3, column)
        elif name == "head.bias":
            expected = torchs_shard(whole, 0, 2, row)
        assert torch.equal(found[name], expected), name


def test_fsdp_over_tensor_parallelism_is_strided(issued: Issued) -> None:
    placements = {"head.weight": ["_StridedShard(0, split_factor=2)", "Shard(0)"]}
    parts = [
        issued.load(mesh=[2, 2], rank=rank, placements=placements)["head.weight"]
        for rank in range(4)
    ]
    rows = issued.whole["head.weight"]
    tensor_parallel = torch.chunk(rows, 2)
    for rank, part in enumerate(parts):
        data, tensor = divmod(rank, 2)
        assert torch.equal(part, torch.chunk(tensor_parallel[tensor], 2)[data])


def test_a_rank_of_a_mesh_larger_than_the_tensors_holds_nothing(issued: Issued) -> None:
    found = issued.load(mesh=[10**9], rank=10**9 - 1, placements={"*.weight": ["Shard(0)"]})
    assert found["embed.weight"].shape == (0, 24)
    assert torch.equal(found["head.bias"], issued.whole["head.bias"])


def test_the_same_request_has_the_same_tag_and_another_another(issued: Issued) -> None:
    tags = [
        issued.post(slices={"head.bias": text}).headers["etag"] for text in ("0:3", "0:3", "0:4")
    ]
    assert tags[0] == tags[1] != tags[2]


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ({}, "", 'give either "slices"'),
        ({"slices": {"head.wieght": ""}}, "slices.head.wieght", "did you mean 'head.weight'"),
        ({"slices": {"head.bias": "50"}}, "slices.head.bias", "outside the axis"),
        ({"slices": {"head.bias": "::0"}}, "slices.head.bias", "step of 1 or more"),
        ({"slices": {"head.bias": ""}, "rank": 0}, "slices", "go with"),
        ({"mesh": [2]}, "rank", "missing"),
        ({"mesh": [2], "rank": 2}, "rank", "outside a mesh of 2 ranks"),
        ({"mesh": [0], "rank": 0}, "mesh.0", "at least 1"),
        ({"mesh": [2], "rank": 0, "placements": {"*.weight": []}}, "placements.*.weight", "one"),
        (
            {"mesh": [2], "rank": 0, "placements": {"**": ["Shard(0)"]}},
            "placements.**",
            "num_batches_tracked",
        ),
        (
            {"mesh": [2], "rank": 0, "placements": {"*.weight": ["Shard(7)"]}},
            "placements.*.weight",
            "which has 2 dimensions",
        ),
        (
            {"mesh": [2], "rank": 0, "placements": {"**": ["Partial(sum)"]}},
            "placements.**.0",
            "summands",
        ),
        (
            {"mesh": [2], "rank": 0, "placements": {"**": ["shard 0"]}},
            "placements.**.0",
            "Shard(dim)",
        ),
        ({"slices": {"head.bias": ""}, "rnak": 1}, "rnak", "rank"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    issued: Issued, body: dict[str, Any], path: str, words: str
) -> None:
    answer = issued.post(**body)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"].endswith("invalid-body")
    assert any(
        fault["path"].replace('["', ".").replace('"]', "") == path and words in fault["message"]
        for fault in problem["errors"]
    ), problem["errors"]


def test_memory_is_not_taken_for_the_whole(issued: Issued, service: Running) -> None:
    before = service.generated()
    found = issued.load(slices={"head.weight": ":,3"})
    assert np.prod(found["head.weight"].shape) == 50
    assert service.generated() - before <= 50 * 24
