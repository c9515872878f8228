"""`import seedpoint`: light, typed, and the same bytes as the service's, by safetensors' word."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch

import seedpoint
from tests.support.blob_files import by_file, embedding, rows, sha256
from tests.support.places import EXAMPLES, GOLDEN

FILE = "model.safetensors"
DOCUMENT = json.loads((EXAMPLES / "mlp.json").read_text())
HEAVY = ("fastapi", "uvicorn", "numba", "transformers", "starlette", "structlog", "torch")

IMPORTING = """
import sys, time
before = time.perf_counter()
import seedpoint
print(time.perf_counter() - before, *sorted(name for name in sys.modules if "." not in name))
"""


def python(script: str) -> str:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def checkpoint() -> seedpoint.Checkpoint:
    return seedpoint.Checkpoint.from_spec(DOCUMENT)


def test_the_import_is_light() -> None:
    seconds, *modules = python(IMPORTING).split()
    assert not {*HEAVY} & {*modules}
    assert float(seconds) < 0.3


def test_planning_and_reading_import_nothing_of_the_server() -> None:
    script = f"import seedpoint, sys; c = seedpoint.Checkpoint.from_spec({DOCUMENT!r}); "
    modules = python(script + f"c.read({FILE!r}); print(*sys.modules)").split()
    assert "torch" in modules
    assert not {"fastapi", "starlette", "uvicorn", "structlog", "typer", "transformers"} & {
        *modules
    }


def test_every_public_name_is_there_and_no_other() -> None:
    for name in seedpoint.__all__:
        assert getattr(seedpoint, name).__module__.startswith("seedpoint.")
    assert {*seedpoint.__all__} <= {*dir(seedpoint)}
    with pytest.raises(AttributeError, match="no attribute 'checkpoints'"):
        seedpoint.checkpoints  # noqa: B018


def test_a_file_is_what_safetensors_loads(checkpoint: seedpoint.Checkpoint) -> None:
    tensors = safetensors.torch.load(checkpoint.read(FILE))
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        tensor.name: tensor.shape for tensor in checkpoint.plan.tensors
    }
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_any_range_is_that_of_the_whole(checkpoint: seedpoint.Checkpoint) -> None:
    whole, size = checkpoint.read(FILE), checkpoint.files[FILE]
    assert len(whole) == size
    for start, stop in ((0, 0), (0, 1), (7, 4099), (size - 3, size)):
        assert checkpoint.read(FILE, start, stop) == whole[start:stop]
    assert checkpoint.read(FILE, size - 5) == whole[-5:]


def test_a_range_outside_the_file_is_refused(checkpoint: seedpoint.Checkpoint) -> None:
    size = checkpoint.files[FILE]
    for start, stop in ((-1, 2), (3, 2), (0, size + 1)):
        with pytest.raises(ValueError, match="is not inside"):
            checkpoint.read(FILE, start, stop)
    with pytest.raises(KeyError):
        checkpoint.read("model.bin")


def test_the_written_files_are_the_golden_ones_and_verify(tmp_path: Path) -> None:
    from hashlib import sha256

    golden = json.loads((GOLDEN / "examples_sha256.json").read_text())
    checkpoint = seedpoint.Checkpoint.from_spec(seedpoint.parse_spec(DOCUMENT))
    (path,) = checkpoint.write(tmp_path / "new" / "folder", threads=2)
    assert sha256(path.read_bytes()).hexdigest() in json.dumps(golden["mlp"])
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata()["format"] == "pt"
    report = seedpoint.verify(path.parent, threads=2)
    assert (report.verdict, report.id) == ("verified", checkpoint.id)


def test_a_sample_and_a_changed_byte_are_told(
    checkpoint: seedpoint.Checkpoint, tmp_path: Path
) -> None:
    (path,) = checkpoint.write(tmp_path)
    assert seedpoint.verify(path, sample=seedpoint.Sample(1, 0)).verdict == "sample agrees"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert seedpoint.verify(path).verdict == "differs"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(seedpoint.FileFault):
        seedpoint.verify(path)


def test_a_platform_bound_checkpoint_is_what_the_script_gives() -> None:
    layer = {"type": "Linear", "in_features": 3, "out_features": 2}
    bound = {"architecture": layer, "init": {"seed": 5, "generator": "torch"}}
    tensors = safetensors.torch.load(seedpoint.Checkpoint.from_spec(bound).read(FILE))
    torch.manual_seed(5)
    expected = torch.nn.Linear(3, 2).state_dict()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


def test_faults_name_their_place() -> None:
    with pytest.raises(seedpoint.SpecError, match="architecture"):
        seedpoint.Checkpoint.from_spec({"architecture": {"type": "Lineer"}})


@pytest.mark.parametrize("generator", ["philox-v1", "torch"])
def test_values_come_from_a_file_that_is_given(generator: str, tmp_path: Path) -> None:
    values = rows(dtype=torch.bfloat16)
    blob = tmp_path / "emb.safetensors"
    safetensors.torch.save_file({"emb.weight": values}, blob)
    spec = embedding(by_file(sha256(blob.read_bytes())), dtype="bfloat16")
    spec["init"]["generator"] = generator
    with pytest.raises(seedpoint.SpecError, match=r"blobs=\[FILE\]"):
        seedpoint.Checkpoint.from_spec(spec)
    made = seedpoint.Checkpoint.from_spec(spec, blobs=[blob])
    assert safetensors.torch.load(made.read(FILE))["weight"].equal(values)
    (path,) = made.write(tmp_path / "out")
    assert seedpoint.verify(path, blobs=[str(blob)]).verdict == "verified"
    assert seedpoint.verify(path).verdict == "incomplete"
