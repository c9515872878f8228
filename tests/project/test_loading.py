"""Recipes of docs/api.md for loading a file, also one of tied tensors."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.support.places import EXAMPLES, ROOT
from tests.support.running import Running

FILE = "model.safetensors"


def documented() -> tuple[str, str]:
    """The code for tensors that are not tied, and that for those that are."""
    section = re.findall(
        r"## Load a file\n(.*?)\n## ", (ROOT / "docs/api.md").read_text("utf-8"), re.DOTALL
    )
    plain, tied = re.findall(r"```python\n(.*?)```", section[0], re.DOTALL)
    return plain, tied


def tied_model() -> nn.Sequential:
    """The model of examples/shared.json: layer 4 is layer 2."""
    shared = nn.Linear(8, 8)
    first, last = nn.Linear(4, 8), nn.Linear(8, 1)
    return nn.Sequential(first, nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), last)


def issue(service: Running, example: str, folder: Path) -> None:
    spec = json.loads((EXAMPLES / f"{example}.json").read_text())
    link = service.issue(spec).json()["links"]["files"][FILE]
    (folder / FILE).write_bytes(service.http.get(link).content)


def load(code: str, model: nn.Module) -> None:
    exec(code, {"model": model})


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_tied_tensors_are_once_in_a_file_and_load_model_is_as_strict(
    service: Running, tmp_path: Path
) -> None:
    issue(service, "shared", tmp_path)
    plain, tied = documented()
    model = tied_model()
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "4.weight", "4.bias"'):
        load(plain, model)
    load(tied, model)
    stored = load_file(FILE)
    names = {"0.weight", "0.bias", "2.weight", "2.bias", "6.weight", "6.bias"}
    assert stored.keys() == names
    assert torch.equal(model[4].weight, stored["2.weight"])
    assert model[4].weight is model[2].weight
    with pytest.raises(RuntimeError, match="Missing key"):
        load(tied, nn.Sequential(*tied_model(), nn.Linear(1, 1)))


def test_copies_load_as_any_state_dict(service: Running, tmp_path: Path) -> None:
    issue(service, "shared_each", tmp_path)
    plain, _ = documented()
    model = tied_model()
    load(plain, model)
    assert torch.equal(model[4].weight, load_file(FILE)["4.weight"])
    assert model[4].weight is model[2].weight
