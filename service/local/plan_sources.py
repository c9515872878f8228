"""Plans that lie in files: a checkpoint's header, or the JSON of a plan or a spec."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seedpoint.models.generation.evaluator import ByteArray, ReadBytes
from seedpoint.models.ranks.plan_source import PlanSource
from seedpoint.models.verify.header import FileFault
from seedpoint.models.verify.stated_plan import NoPlan, metadata_of, stated
from seedpoint.service.local.checkpoint_files import (
    OpenFile,
    first_shard,
    locate,
    open_checkpoint,
)


def source_of_file(path: Path) -> PlanSource:
    """Return the source at `path`: a safetensors file, the first of its shards, index or folder.

    The plan is read from the header, and the tensors are not, except those of a platform-bound
    plan, which this process need not be able to make.

    Raises:
        FileFault: The file is not a checkpoint.
        OSError: The file cannot be read.
    """
    with OpenFile(locate(path)) as first, first.named():
        try:
            plan, _ = stated(metadata_of(first.head(), first.size_bytes))
        except NoPlan as error:
            raise FileFault(f"{error}: the plan is in {first_shard(first.path)}") from None
    return PlanSource(plan, read=partial(_stored, path))


def document_of_file(path: Path) -> Mapping[str, Any]:
    """Return the JSON object in a file.

    Raises:
        FileFault: The file holds no JSON object.
        OSError: The file cannot be read.
    """
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise FileFault(f"{path}: not JSON: {error}") from None
    if not isinstance(document, dict):
        raise FileFault(f"{path}: not a JSON object")
    return document


def _stored(path: Path) -> dict[str, ReadBytes]:
    """Return readers of the tensors in the files at `path`, by name.

    Raises:
        FileFault: A file's header is not that of the plan in the first.
    """
    found: dict[str, ReadBytes] = {}
    with ExitStack() as stack:
        opened = open_checkpoint(path, stack)
        for file, source in zip(opened.files, opened.sources, strict=True):
            mapped = np.memmap(source.path, np.uint8, mode="r")
            for entry in file.entries:
                name = opened.plan.tensors[entry.tensor].name
                found[name] = partial(_read, mapped[entry.start_byte : entry.stop_byte])
    return found


def _read(data: ByteArray, start: int, stop: int) -> memoryview:
    return data[start:stop].data
