"""Checkpoints for the tests of `verify`, verified without a worker process."""

from __future__ import annotations

import copy
import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rfc8785

from seedpoint.models.errors import SpecError
from seedpoint.models.files.blobs import NO_BLOBS, Blobs
from seedpoint.models.files.layout import layout
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.planning.sequential import materialized, platform
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.verify.findings import Report, Sample
from seedpoint.models.verify.header import FileFault
from seedpoint.service.local.blob_files import LocalBlobs
from seedpoint.service.local.replan import Replanned
from seedpoint.service.local.verify import verify

LINEAR = {"type": "Linear", "in_features": 3, "out_features": 2}


def spec_of(architecture: dict[str, Any], *rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    init = {"rules": list(rules), **more.pop("init", {})}
    return {"architecture": architecture, "init": init, **more}


def tensors(**entries: Any) -> dict[str, Any]:
    """Return a `tensors` architecture from name -> [dtype, *shape]."""
    listed = [{"name": n, "dtype": e[0], "shape": list(e[1:])} for n, e in entries.items()]
    return {"type": "tensors", "tensors": listed}


def floats(**dtypes: str) -> dict[str, Any]:
    """Return a dtype policy from tensor name -> dtype."""
    return {"rules": [{"match": {"name": n}, "dtype": d} for n, d in dtypes.items()]}


def rule(name: str, kind: str, **arguments: Any) -> dict[str, Any]:
    beside = [key for key in ("transforms", "splits") if key in arguments]
    more: dict[str, Any] = {key: arguments.pop(key) for key in beside}
    return {"match": {"name": name}, "initializer": {"type": kind, **arguments}, **more}


def make(spec: dict[str, Any]) -> Plan:
    return make_plan(parse_spec(spec)).plan


def write(spec: dict[str, Any], folder: Path, blobs: Blobs = NO_BLOBS) -> Path:
    """Write the files of `spec` into `folder`; return the path of the first."""
    parsed = parse_spec(spec)
    planned = make_plan(parsed, platform=platform(), blobs=blobs)
    given = materialized(parsed, planned, blobs) if planned.plan.platform else {}
    evaluator = Evaluator(planned.plan, planned.blobs, given, blob_files=blobs)
    return write_files(evaluator, folder)


def write_files(evaluator: Evaluator, folder: Path) -> Path:
    """Write the files of a plan into `folder`; return the path of the first."""
    files = layout(evaluator.plan).files
    for file in files.values():
        out = np.empty(file.size_bytes, np.uint8)
        evaluator.read(file, 0, file.size_bytes, out)
        (folder / file.name).write_bytes(out.tobytes())
    return folder / next(iter(files))


@contextmanager
def in_process(plan: Plan, blobs: LocalBlobs) -> Iterator[Future[Replanned]]:
    """Replan like `service.local.replan.replanning`, but in this process."""
    future: Future[Replanned] = Future()
    try:
        spec = parse_spec(dict(plan.spec))
        planned = make_plan(spec, platform=platform(), blobs=blobs)
    except SpecError as error:
        future.set_result(Replanned(refusal=str(error)))
    else:
        bound = plan.platform is not None and planned.plan.id == plan.id
        given = materialized(spec, planned, blobs) if bound else {}
        future.set_result(Replanned(planned.plan, blobs=planned.blobs, materialized=given))
    yield future


@contextmanager
def unknown(plan: Plan, blobs: LocalBlobs) -> Iterator[Future[Replanned]]:
    """Replan with a failure of the worker."""
    future: Future[Replanned] = Future()
    future.set_result(Replanned(failure="the worker died"))
    yield future


@contextmanager
def silent(total_bytes: int) -> Iterator[Callable[[int], object]]:
    yield lambda count: None


def check(path: Path, sample: Sample | None = None, **options: Any) -> Report:
    given: dict[str, Any] = {"threads": 2, "progress": silent, "replanning": in_process} | options
    return verify(path, sample=sample, **given)


def fault(path: Path, **options: Any) -> str:
    """Return the fault that `verify` finds in a file: one short line."""
    with pytest.raises(FileFault) as caught:
        check(path, **options)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 700
    return message


# --- forged files ------------------------------------------------------------------


def header(data: bytes) -> dict[str, Any]:
    """Return the decoded JSON header of a file."""
    document: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return document


def with_header(document: Any, data: bytes = b"") -> bytes:
    """Return a file of a header, given as JSON value or text, and `data`."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return struct.pack("<Q", len(text)) + text + data


def body(data: bytes) -> bytes:
    return data[8 + int.from_bytes(data[:8], "little") :]


def changed(plan: Plan, change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return a copy of a plan's document after `change`."""
    document = copy.deepcopy(json.loads(plan.canonical))
    change(document)
    return document


def metadata_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return file metadata whose id matches a plan's document, even an invalid one."""
    rest = {key: value for key, value in document.items() if key != "spec"}
    return {
        "format": "pt",
        "seedpoint.id": hashlib.sha256(rfc8785.dumps(dict(document))).hexdigest(),
        "seedpoint.stream": "philox-v1",
        "seedpoint.spec": rfc8785.dumps(document["spec"]).decode(),
        "seedpoint.plan": rfc8785.dumps(rest).decode(),
    }


def forge(document: Mapping[str, Any], path: Path) -> Path:
    """Write a file with the header of a plan's document and a hole as data; return its path."""
    file = next(iter(layout(Plan.from_json(document)).files.values()))
    with path.open("wb") as out:
        out.write(file.head)
        out.truncate(file.size_bytes)
    return path
