"""A file written without a server is there whole, and nothing else is touched."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from seedpoint.service.storage.atomic_files import replacing
from tests.support.running import mlp
from tests.support.waiting import eventually


def test_a_file_is_replaced_when_the_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as descriptor:
        os.write(descriptor, b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), replacing(path):
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to("target")
    with replacing(link) as descriptor:
        os.write(descriptor, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="Not a regular file"), replacing(pipe):
        pass
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127])
def test_a_name_may_be_as_long_as_the_filesystem_takes(tmp_path: Path, name: str) -> None:
    with replacing(tmp_path / name) as descriptor:
        os.write(descriptor, b"new")
    assert (tmp_path / name).read_bytes() == b"new"


BUILD = """
import sys, json
from seedpoint.service.cli import main
sys.argv = ["seedpoint", "build", sys.argv[1], "-o", sys.argv[2], "--threads", "1"]
main()
"""


def test_a_build_that_is_told_to_end_leaves_no_half_file(tmp_path: Path) -> None:
    spec, out = tmp_path / "spec.json", tmp_path / "out"
    spec.write_text(json.dumps(mlp(hidden=100_000_000)))  # 12 GB: it would be at it for long.
    out.mkdir()
    build = subprocess.Popen([sys.executable, "-c", BUILD, spec, f"{out}/model.safetensors"])
    try:
        eventually(lambda: list(out.iterdir()) or build.poll() is not None)
        assert build.poll() is None
        build.send_signal(signal.SIGTERM)
        assert build.wait(60) == 143
    finally:
        build.kill()
        build.wait()
    assert list(out.iterdir()) == []
