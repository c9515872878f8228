"""Examples that take values from a file, against the PyTorch code and the file that they name."""

from __future__ import annotations

import json
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from seedpoint.service.local.blob_files import LocalBlobs
from tests.examples.test_examples import SEED, assert_same_bits, example
from tests.support.blob_files import sha256
from tests.support.issued import issued
from tests.support.places import EXAMPLES, GOLDEN

FOLDER = EXAMPLES / "blobs"
ROWS = FOLDER / "rows.safetensors"


def by(generator: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / "pretrained_rows.json").read_text())
    document["init"]["generator"] = generator
    return document


def test_pretrained_rows_by_file() -> None:
    pretrained = load_file(ROWS)["emb.weight"]
    torch.manual_seed(SEED)
    script = nn.Embedding(100, 3)
    with torch.no_grad():
        script.weight[:2] = pretrained
        script.weight[2:].normal_(std=0.1)
    assert_same_bits(issued(by("torch"), LocalBlobs.of([ROWS])), script)


def test_the_philox_values_never_change() -> None:
    found = issued(by("philox-v1"), LocalBlobs.of([ROWS]))["weight"]
    golden = json.loads((GOLDEN / "blob_examples_sha256.json").read_text())
    assert golden == {"pretrained_rows": sha256(found.numpy().tobytes())}


def test_rows_by_file_are_those_of_the_spec_with_the_numbers() -> None:
    found = issued(by("philox-v1"), LocalBlobs.of([ROWS]))["weight"]
    assert found.equal(issued(example("pretrained_rows"))["weight"])
