"""Fixture `seed_checkpoint`, as projects use it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from seedpoint_client.pytest_plugin import Local, SeedCheckpoint, SeedCheckpoints

import seedpoint
from tests.support.places import EXAMPLES, GOLDEN, ROOT
from tests.support.running import Running

pytest_plugins = "pytester"

SPEC = json.loads((EXAMPLES / "mlp.json").read_text())
DIGEST = json.loads((GOLDEN / "examples_sha256.json").read_text())["mlp"]
PLUGIN = ("-p", "seedpoint_client.pytest_plugin")

USE = """
    import hashlib
    from pathlib import Path

    def test_it(seed_checkpoint):
        checkpoint = seed_checkpoint("mlp.json")
        file = checkpoint.path / "model.safetensors"
        Path("used").write_text(f"{checkpoint.id} {checkpoint.path}")
        assert hashlib.sha256(file.read_bytes()).hexdigest() == "EXPECTED"
        assert checkpoint.state_dict()["hidden.weight"].shape == (256, 20)
        assert seed_checkpoint("mlp.json") is checkpoint
        assert seed_checkpoint(Path("mlp.json"), seed=42) == checkpoint
""".replace("EXPECTED", DIGEST)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Somebody's project with one test of the fixture, and a spec beside it."""
    pytester.makepyfile(USE)
    (pytester.path / "mlp.json").write_text(json.dumps(SPEC))
    paths = os.pathsep.join(map(str, (ROOT / "src", ROOT / "client")))
    monkeypatch.setenv("PYTHONPATH", paths)
    for name in ("SEEDPOINT_URL", "SEEDPOINT_CACHE", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    return pytester


def used(project: pytest.Pytester) -> tuple[str, Path]:
    id, path = (project.path / "used").read_text().split(" ", 1)
    return id, Path(path)


def test_the_installed_core_makes_checkpoints(project: pytest.Pytester) -> None:
    project.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=1)
    id, path = used(project)
    assert id == seedpoint.Checkpoint.from_spec(SPEC).id
    assert path == project.path / ".pytest_cache/d/seedpoint" / id


def test_a_service_makes_them_if_one_is_named(project: pytest.Pytester, service: Running) -> None:
    project.runpytest(*PLUGIN, "--seedpoint-url", service.url).assert_outcomes(passed=1)
    assert used(project)[0] == service.issue(SPEC).json()["id"]


def test_the_environment_may_name_it(
    project: pytest.Pytester, service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDPOINT_URL", service.url)
    monkeypatch.setenv("SEEDPOINT_CACHE", "kept")
    project.makeini("[pytest]\nseedpoint_url = http://127.0.0.1:9\n")
    project.runpytest(*PLUGIN).assert_outcomes(passed=1)
    assert used(project)[1].parent == project.path / "kept"


def test_the_ini_file_may_name_it(project: pytest.Pytester, service: Running) -> None:
    project.makeini(f"[pytest]\nseedpoint_url = {service.url}\nseedpoint_cache = there\n")
    project.runpytest(*PLUGIN).assert_outcomes(passed=1)
    assert used(project)[1].parent == project.path / "there"


def test_a_file_is_generated_once_and_then_kept(project: pytest.Pytester, service: Running) -> None:
    options = (*PLUGIN, "--seedpoint-url", service.url, "--seedpoint-cache", "cache")
    project.runpytest(*options).assert_outcomes(passed=1)
    before = used(project)[1].stat()
    generated = service.generated()
    project.runpytest(*options).assert_outcomes(passed=1)
    after = used(project)[1].stat()
    assert service.generated() == generated
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_pytest_works_without_its_cache(project: pytest.Pytester, service: Running) -> None:
    options = (*PLUGIN, "-p", "no:cacheprovider", "--seedpoint-url", service.url)
    project.runpytest(*options).assert_outcomes(passed=1)


def test_the_options_are_in_the_help(project: pytest.Pytester) -> None:
    project.runpytest(*PLUGIN, "--help").stdout.fnmatch_lines(
        ["initialized checkpoints (seedpoint-client):", "*--seedpoint-url=URL*"]
    )


# --- the factory -------------------------------------------------------------------


@pytest.fixture
def factory(tmp_path: Path) -> SeedCheckpoints:
    return SeedCheckpoints(Local(), tmp_path / "cache", EXAMPLES)


def test_a_spec_is_a_mapping_a_file_or_a_preset(factory: SeedCheckpoints) -> None:
    assert factory(SPEC) == factory("mlp.json") == factory(EXAMPLES / "mlp.json")
    assert factory(SPEC, seed=1) != factory(SPEC)
    preset = factory("gpt2-tiny", seed=3)
    assert {"config.json", "model.safetensors"} <= {file.name for file in preset.path.iterdir()}


def test_a_state_dict_has_tied_tensors_and_shards(factory: SeedCheckpoints) -> None:
    spec = json.loads((EXAMPLES / "depth_scaled_gpt.json").read_text()) | {"max_shard_size": "50kB"}
    checkpoint = factory(spec)
    files = sorted(checkpoint.path.glob("*.safetensors"))
    assert len(files) > 1
    state = checkpoint.state_dict()
    expected: dict[str, torch.Tensor] = {}
    for file in files:
        expected |= safetensors.torch.load_file(file)
    assert set(state) == {*expected, "lm_head.weight"}
    assert state["lm_head.weight"] is state["wte.weight"]
    assert all(state[name].equal(expected[name]) for name in expected)


def test_a_state_dict_may_be_changed(factory: SeedCheckpoints) -> None:
    checkpoint = factory(SPEC)
    for value in checkpoint.state_dict().values():
        value.fill_(5)
    content = (checkpoint.path / "model.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == DIGEST
    assert not checkpoint.state_dict()["hidden.bias"].any()


def test_the_files_are_read_only(factory: SeedCheckpoints) -> None:
    (file,) = factory(SPEC).path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o444


def test_a_faulty_spec_raises_its_faults_and_leaves_nothing(factory: SeedCheckpoints) -> None:
    with pytest.raises(seedpoint.SpecError, match=r"architecture\.type: unknown type 'Linea'"):
        factory({"architecture": {"type": "Linea"}})
    assert not factory.cache.exists()


def test_without_the_core_a_service_is_asked_for(tmp_path: Path) -> None:
    lacking = SeedCheckpoints(Local("no_such_package"), tmp_path, tmp_path)
    with pytest.raises(pytest.fail.Exception, match=r"needs .* --seedpoint-url, ini"):
        lacking(SPEC)


class Meeting:
    """Issuer whose checkpoint is written by two processes at once."""

    id = "7"

    def __init__(self, barrier: threading.Barrier, *, fails: bool = False) -> None:
        self.barrier, self.fails = barrier, fails

    def issue(self, spec: Mapping[str, Any]) -> Meeting:
        return self

    def write(self, folder: Path) -> None:
        (folder / "file").write_text("bytes")
        self.barrier.wait(60)
        if self.fails:
            raise OSError("disk full")


def both(tmp_path: Path, *issuers: Meeting) -> Iterator[SeedCheckpoint]:
    results: list[SeedCheckpoint] = []

    def use(issuer: Meeting) -> None:
        results.append(SeedCheckpoints(issuer, tmp_path, tmp_path)({}))

    threads = [threading.Thread(target=use, args=(issuer,)) for issuer in issuers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    yield from results


def test_processes_that_make_one_checkpoint_at_once_share_it(tmp_path: Path) -> None:
    barrier = threading.Barrier(2)
    first, second = both(tmp_path, Meeting(barrier), Meeting(barrier))
    assert first == second == SeedCheckpoint("7", tmp_path / "7")
    assert [path.name for path in tmp_path.iterdir()] == ["7"]
    assert (first.path / "file").read_text() == "bytes"


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    failing = SeedCheckpoints(Meeting(threading.Barrier(1), fails=True), tmp_path, tmp_path)
    with pytest.raises(OSError, match="disk full"):
        failing({})
    assert list(tmp_path.iterdir()) == []


# --- the package -------------------------------------------------------------------


def test_the_wheel_brings_the_plugin_and_the_types(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(
        [*command, "--directory", tmp_path], cwd=ROOT / "client", check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (points,) = [name for name in names if name.endswith("entry_points.txt")]
        assert "[pytest11]\nseedpoint = seedpoint_client.pytest_plugin" in (
            archive.read(points).decode()
        )
    sources = (ROOT / "client").glob("seedpoint_client/**/*.py")
    expected = {str(path.relative_to(ROOT / "client")) for path in sources}
    assert expected | {"seedpoint_client/py.typed"} == {
        name for name in names if ".dist-info/" not in name
    }
