"""Every kind of source gives the same values; what is not one is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import seedpoint
from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning import sequential
from tests.models.ranks.conftest import SPEC

Whole = dict[str, torch.Tensor]
SHARDED = SPEC | {"max_shard_size": 3000}


class Client:
    def __init__(self, plan: bytes) -> None:
        self._plan = plan

    def plan(self) -> bytes:
        return self._plan

    def get(self, id: str) -> Client:
        return self


def files(folder: Path, spec: dict[str, Any]) -> Path:
    seedpoint.Checkpoint.from_spec(spec).write(folder, threads=1)
    return folder


def json_file(folder: Path, content: Any) -> Path:
    path = folder / "some.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def plan() -> Plan:
    return seedpoint.Checkpoint.from_spec(SPEC).plan


SOURCES: dict[str, Callable[[Path], Any]] = {
    "a spec": lambda _: SPEC,
    "a parsed spec": lambda _: seedpoint.parse_spec(SPEC),
    "a checkpoint": lambda _: seedpoint.Checkpoint.from_spec(SPEC),
    "a plan": lambda _: plan(),
    "the plan's bytes": lambda _: plan().canonical,
    "the plan's document": lambda _: json.loads(plan().canonical),
    "a file": lambda folder: str(files(folder, SPEC) / "model.safetensors"),
    "a folder": lambda folder: files(folder, SPEC),
    "the first shard": lambda folder: min(files(folder, SHARDED).glob("*-00001-of-*")),
    "an index": lambda folder: files(folder, SHARDED) / "model.safetensors.index.json",
    "a folder of shards": lambda folder: files(folder, SHARDED),
    "a spec in a file": lambda folder: json_file(folder, SPEC),
    "a plan in a file": lambda folder: json_file(folder, plan().canonical.decode()),
    "a client's checkpoint": lambda _: Client(plan().canonical),
    "an id with a client": lambda _: (Client(plan().canonical), plan().id),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_values(name: str, whole: Whole, tmp_path: Path) -> None:
    state = seedpoint.state_dict(SOURCES[name](tmp_path))
    assert state.keys() == whole.keys()
    assert all(torch.equal(state[key], whole[key]) for key in whole)


def test_the_tensors_of_a_file_are_not_read(tmp_path: Path, whole: Whole) -> None:
    path = files(tmp_path, SPEC) / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1000:] = bytes(1000)
    path.write_bytes(content)
    state = seedpoint.state_dict(path)
    assert all(torch.equal(state[key], whole[key]) for key in whole)


def test_bytes_keep_their_id() -> None:
    bytes_ = plan().canonical
    from seedpoint.models.verify.stated_plan import checked_plan

    assert checked_plan(bytes_).canonical == bytes_
    assert checked_plan(json.dumps(json.loads(bytes_))).id == plan().id


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ({"architecture": {"type": "Lineer"}}, seedpoint.SpecError, "architecture"),
        ({}, seedpoint.SpecError, "architecture"),
        ({"format": "seedpoint-plan-2"}, ValueError, "plan-2, and this version.*upgrade seedpoint"),
        ({"format": "zip"}, ValueError, "not a plan of format seedpoint-plan-1: 'zip'"),
        (b'{"format":"seedpoint-plan-7"}', ValueError, "plan-7, and this version of seedpoint"),
        (b"\x00", seedpoint.FileFault, "the plan is not JSON"),
        (b"[]", seedpoint.FileFault, "the plan is not a JSON object"),
        ("0" * 64, FileNotFoundError, "an id needs a client"),
        ("missing.safetensors", FileNotFoundError, "missing"),
        (3, TypeError, "int is not a source"),
        (torch.nn.Linear(1, 1), TypeError, "Linear is not a source"),
    ],
)
def test_what_is_not_a_source_is_refused(source: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        seedpoint.state_dict(source)


@pytest.mark.parametrize(("content", "words"), [("{", "not JSON"), ("[]", "not a JSON object")])
def test_a_file_that_is_no_document_is_refused(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(seedpoint.FileFault, match=f"some.json: {words}"):
        seedpoint.state_dict(json_file(tmp_path, content))


def test_a_later_shard_names_the_first(tmp_path: Path) -> None:
    later = min(files(tmp_path, SHARDED).glob("*-00002-of-*"))
    with pytest.raises(seedpoint.FileFault, match="the plan is in model-00001"):
        seedpoint.state_dict(later)


# --- values that a plan does not contain --------------------------------------------------

LINEAR = {"type": "Linear", "in_features": 3, "out_features": 2}
GIVEN = {
    "architecture": LINEAR,
    "init": {
        "rules": [
            {"match": {"parameter": "bias"}, "initializer": {"type": "values", "values": [1, 0.1]}}
        ]
    },
}
BOUND = {"architecture": LINEAR, "init": {"seed": 5, "generator": "torch"}}


def test_given_values_come_from_the_plans_spec(tmp_path: Path) -> None:
    checkpoint = seedpoint.Checkpoint.from_spec(GIVEN)
    path = files(tmp_path, GIVEN)
    for source in (GIVEN, checkpoint, checkpoint.plan, checkpoint.plan.canonical, path):
        bias = seedpoint.tensor(source, "bias")
        assert torch.equal(bias, torch.tensor([1, 0.1]))


def elsewhere(spec: dict[str, Any]) -> Plan:
    """The plan that another version of torch would have made."""
    document = json.loads(seedpoint.Checkpoint.from_spec(spec).plan.canonical)
    return Plan.from_json(document | {"platform": document["platform"] | {"torch": "1.0"}})


def test_a_platform_bound_checkpoint_is_made_here_from_its_spec(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.nn.Linear(3, 2).state_dict()
    checkpoint = seedpoint.Checkpoint.from_spec(BOUND)
    for source in (BOUND, checkpoint, checkpoint.plan, files(tmp_path, BOUND)):
        state = seedpoint.state_dict(source)
        assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_a_checkpoint_of_another_platform_needs_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(seedpoint.PlatformMismatch, match="can be reproduced only there"):
        seedpoint.state_dict(elsewhere(BOUND))
    folder = files(tmp_path, BOUND)
    expected = seedpoint.state_dict(BOUND)
    monkeypatch.setattr(sequential, "platform", lambda: {"torch": "1.0"})
    state = seedpoint.state_dict(folder)
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_a_plan_that_the_libraries_no_longer_make_says_so() -> None:
    document = json.loads(seedpoint.Checkpoint.from_spec(GIVEN).plan.canonical)
    document["programs"].append({"type": "constant", "value": 3.0})
    other = Plan.from_json(document | {"seed": "1"})
    with pytest.raises(seedpoint.PlatformMismatch, match="make another plan of its spec"):
        seedpoint.tensor(other, "bias")
