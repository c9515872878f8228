"""Checkpoints: their files, and the names that are near a wrong one."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import ByteArray, Evaluator
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.service.checkpoints.checkpoint import MAX_CHARACTERS, Checkpoint, CheckpointFile
from seedpoint.service.errors import NotFound
from seedpoint.service.generation.engine import Engine
from tests.support.running import mlp


def issued(**options: Any) -> Checkpoint:
    planned = make_plan(parse_spec(mlp() | options))
    plan = planned.plan
    return Checkpoint(plan.id, plan, layout(plan), Evaluator(plan, planned.blobs))


def test_its_files_are_those_of_the_layout_in_order_and_add_up() -> None:
    checkpoint = issued(max_shard_size=20_480)
    files = checkpoint.files
    assert [file.name for file in files] == list(checkpoint.layout.files)
    assert sum(file.size_bytes for file in files) == checkpoint.size_bytes
    assert len({file.etag for file in files}) == len(files)


def test_an_entity_tag_differs_between_checkpoints_and_does_not_look_like_a_sha256() -> None:
    first, second = issued(), issued(dtype="bfloat16")
    tags = {checkpoint.file("model.safetensors").etag for checkpoint in (first, second)}
    assert len(tags) == 2
    assert {len(tag.strip('"')) for tag in tags} == {40}


def test_a_file_that_is_missing_is_refused_with_a_few_that_exist() -> None:
    with pytest.raises(NotFound, match=r"files: model-00001-of-.*, .*, .* and \d+ more"):
        issued(max_shard_size=5_000).file("x" * 1000)


def test_a_tensor_is_found_by_its_name_and_a_wrong_one_is_told_the_nearest() -> None:
    checkpoint = issued()
    assert asyncio.run(checkpoint.tensor("output.bias")) == checkpoint.indices["output.bias"]
    with pytest.raises(NotFound, match=r"no tensor 'outputs.bias'; did you mean 'output.bias'"):
        asyncio.run(checkpoint.tensor("outputs.bias"))
    with pytest.raises(NotFound, match=rf"no tensor '{'x' * MAX_CHARACTERS}'$"):
        asyncio.run(checkpoint.tensor("x" * 10_000))


@dataclass(frozen=True, slots=True)
class Watched(CheckpointFile):
    """File that notes the thread of each read."""

    readers: list[threading.Thread]

    def read(self, start: int, stop: int, out: ByteArray) -> None:
        self.readers.append(threading.current_thread())
        CheckpointFile.read(self, start, stop, out)


def layer(size: int, parametrization: str | None = None) -> dict[str, Any]:
    linear: dict[str, Any] = {"type": "Linear", "in_features": size, "out_features": size}
    if parametrization is not None:
        linear["parametrizations"] = {"weight": parametrization}
    return linear


@pytest.mark.parametrize("parametrization", ["spectral_norm", "weight_norm"])
def test_a_byte_that_needs_a_large_matrix_is_computed_by_a_thread(parametrization: str) -> None:
    async def readers(architecture: dict[str, Any]) -> set[threading.Thread]:
        file = issued(architecture=architecture).file("model.safetensors")
        watched = Watched(file.checkpoint, file.file, file.etag, [])
        engine = Engine(threads=1, chunk_bytes=1 << 20, look_ahead=1, ahead_bytes=1 << 20)
        try:
            async for _ in engine.stream(watched, (file.size_bytes - 4, file.size_bytes)):
                pass
        finally:
            engine.close()
        return set(watched.readers)

    loop = {threading.main_thread()}
    assert asyncio.run(readers(layer(512))) == loop
    assert asyncio.run(readers(layer(8, parametrization))) == loop
    assert not asyncio.run(readers(layer(512, parametrization))) & loop
