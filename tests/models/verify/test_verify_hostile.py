"""Files made to mislead `verify`, that do not stay, or are none: one clear line, and no crash."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.verifying import (
    body,
    check,
    fault,
    header,
    rule,
    spec_of,
    tensors,
    with_header,
    write,
)

SPEC = spec_of(tensors(a=("F32", 2, 3), b=("F32", 4)), rule("**", "normal"))


# --- a header that is not its plan's ----------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(SPEC, tmp_path)


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The file with its header changed."""
    data = path.read_bytes()
    document = header(data)
    change(document)
    path.write_bytes(with_header(document, body(data)))


def metadata(key: str, value: str | None) -> Callable[[dict[str, Any]], object]:
    def change(document: dict[str, Any]) -> None:
        if value is None:
            del document["__metadata__"][key]
        else:
            document["__metadata__"][key] = value

    return change


def rename(document: dict[str, Any]) -> None:
    document["c"] = document.pop("a")


HEADERS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "spelled otherwise": (lambda document: None, "in other bytes: another program wrote it"),
    "renamed": (rename, "its plan has a tensor 'a', which its header lacks"),
    "reshaped": (lambda d: d["a"].update(shape=[3, 2]), "'a': shape is (3, 2) in its header"),
    "another dtype": (lambda d: d["a"].update(dtype="I32"), "'a': dtype is I32 in its header"),
    "swapped": (
        lambda d: (d["a"].update(data_offsets=[16, 40]), d["b"].update(data_offsets=[0, 16])),
        "'a': start_byte is 16 in its header, 0 by its plan",
    ),
    "more metadata": (metadata("x", "y"), "its metadata has 'x'"),
    "less metadata": (metadata("format", None), "its metadata lacks 'format'"),
    "other metadata": (metadata("format", "np"), "'format' in its metadata is not"),
    "no plan": (metadata("seedpoint.plan", None), "lacks seedpoint.plan"),
    "no spec": (metadata("seedpoint.spec", None), "lacks seedpoint.spec"),
    "no id": (metadata("seedpoint.id", None), "lacks seedpoint.id"),
    "another id": (metadata("seedpoint.id", "0" * 64), "is not the one it was issued with"),
    "an id of another sort": (metadata("seedpoint.id", "\x1b[31m\n" * 99), "not the one it was"),
    "another spec": (metadata("seedpoint.spec", '{"architecture":{}}'), "not the one it was"),
    "a spec that is no JSON": (metadata("seedpoint.spec", "{"), "seedpoint.spec is not JSON"),
    "a plan that is no object": (metadata("seedpoint.plan", "[]"), "not a JSON object"),
    "a deep plan": (metadata("seedpoint.plan", "[" * 10**5), "nests too deep"),
    "a deep spec": (metadata("seedpoint.spec", '{"a":' * 600 + "0" + "}" * 600), "too deep"),
    "a member twice": (metadata("seedpoint.plan", '{"a":1,"a":2}'), "has 'a' twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_is_not_its_plans_is_said_in_one_line(name: str, path: Path) -> None:
    change, message = HEADERS[name]
    rewrite(path, change)
    assert message in fault(path)


def test_a_tampered_plan_is_refused_by_its_id(path: Path) -> None:
    text = header(path.read_bytes())["__metadata__"]["seedpoint.plan"]
    rewrite(path, metadata("seedpoint.plan", text.replace('"seed":"0"', '"seed":"1"')))
    assert "is not the one it was issued with" in fault(path)


def test_a_long_header_is_compared_without_being_parsed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (
        "seedpoint.models.verify.stated_plan",
        "seedpoint.service.local.checkpoint_files",
    ):
        monkeypatch.setattr(f"{module}.LONG_BYTES", 100)
    assert check(path).verdict == "verified"
    size = path.read_bytes().index(b'"a":')
    rewrite(path, rename)  # Spelled with spaces.
    message = fault(path)
    assert "is not the one of" in message and "they differ from byte 0 on" in message
    data = write(SPEC, path.parent).read_bytes()
    path.write_bytes(data[:size] + data[size:].replace(b'"a":', b'"A":', 1))
    assert fault(path).endswith(f"they differ from byte {size + 1} on")
    path.write_bytes(data[:-1])
    assert "truncated" in fault(path)


# --- no file, or one that does not stay ------------------------------------------------------


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in fault(tmp_path / "pipe")
    assert "not a regular file" in fault(Path("/dev/zero"))
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "pipe")
    assert "not a regular file" in fault(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match="No such device"):
            check(tmp_path / "socket")


def test_a_file_that_is_not_there_or_not_readable_is_an_os_error(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        check(tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no model\.safetensors or model-00001-of-"):
        check(tmp_path / "folder")

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(PermissionError):
        check(path)


def test_a_directory_of_several_checkpoints_asks_which(path: Path) -> None:
    path.with_name("model-00001-of-00002.safetensors").write_bytes(b"")
    assert "name one of model-00001-of-00002.safetensors, model.safetensors" in fault(path.parent)


def during(change: Callable[[], object]) -> Any:
    """A progress that lets something happen once the headers have been read."""

    @contextmanager
    def progress(total_bytes: int) -> Iterator[Callable[[int], object]]:
        change()
        yield lambda count: None

    return progress


def test_a_file_that_shrinks_while_it_is_read_is_a_fault(path: Path) -> None:
    size = path.stat().st_size
    shrink = during(lambda: os.truncate(path, size - 17))
    assert f"ended at byte {size - 17} while it was read" in fault(path, progress=shrink)


def test_a_file_that_changes_while_it_is_read_is_a_fault(path: Path) -> None:
    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"x")

    def touch() -> None:
        os.utime(path, ns=(0, 0))

    assert "changed while it was read" in fault(path, progress=during(touch))
    assert "changed while it was read" in fault(path, progress=during(grow))


def test_a_file_that_shrinks_before_its_header_is_read_is_a_fault(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preadv = os.preadv

    def short(descriptor: int, buffers: Any, offset: int) -> int:
        return preadv(descriptor, buffers, offset) if offset < 100 and len(buffers[0]) < 9 else 0

    monkeypatch.setattr(os, "preadv", short)
    assert "ended at byte 0 while it was read" in fault(path)


def test_short_reads_are_gone_on_with(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda d, buffers, at: preadv(d, [buffers[0][:7]], at))
    assert check(path).verdict == "verified"


# --- shards ----------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write(SPEC | {"max_shard_size": "20B"}, tmp_path)


def test_a_lone_later_shard_says_which_file_has_the_plan(shards: Path) -> None:
    later = shards.with_name("model-00002-of-00002.safetensors")
    told = fault(later)
    assert ": a later shard of checkpoint " in told
    assert told.endswith(": the plan is in model-00001-of-00002.safetensors")
    assert fault(later.rename(shards.with_name("other"))).endswith("is in the first shard")


def test_a_missing_or_foreign_shard_is_told(shards: Path, tmp_path_factory: Any) -> None:
    later = shards.with_name("model-00002-of-00002.safetensors")
    mine = later.read_bytes()
    other = SPEC | {"max_shard_size": "20B", "init": SPEC["init"] | {"seed": 1}}
    theirs = write(other, tmp_path_factory.mktemp("other")).with_name(later.name).read_bytes()
    later.write_bytes(theirs)
    assert fault(shards).startswith(f"{later}: 'seedpoint.id' in its metadata is not")
    later.write_bytes(mine[:-1])
    assert fault(shards).startswith(f"{later}: truncated")
    later.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        check(shards)
    assert caught.value.filename == str(later)


def test_an_index_that_is_another_is_told(shards: Path) -> None:
    index = shards.with_name("model.safetensors.index.json")
    index.write_bytes(index.read_bytes().replace(b"40", b"41"))
    assert "not the index of checkpoint" in fault(index)
    index.write_bytes(b"")
    assert "not the index of checkpoint" in fault(shards)


def test_an_index_that_is_missing_is_told_of_a_directory_alone(shards: Path) -> None:
    assert check(shards.parent).verdict == "verified"
    shards.with_name("model.safetensors.index.json").unlink()
    told = f"{shards.parent}: lacks model.safetensors.index.json of checkpoint "
    assert fault(shards.parent).startswith(told)
    assert check(shards).verdict == "verified"


def test_a_config_that_is_another_is_told_of_a_directory_alone(tmp_path: Path) -> None:
    path = write({"architecture": {"type": "preset", "name": "llama-tiny"}}, tmp_path)
    assert check(tmp_path).verdict == "verified"
    config = tmp_path / "config.json"
    config.write_bytes(config.read_bytes().replace(b"hidden_size", b"hidden_zise"))
    assert fault(tmp_path) == f"{config}: not the config.json of checkpoint {check(path).id}"
    config.unlink()
    (tmp_path / "generation_config.json").unlink()
    told = "lacks config.json and generation_config.json of checkpoint"
    assert fault(tmp_path) == f"{tmp_path}: {told} {check(path).id}"
