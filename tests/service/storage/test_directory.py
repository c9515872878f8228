"""Storage in a directory: the contract, several processes, and what is no file of its own."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from seedpoint.service.storage.atomic_files import temporary_path
from seedpoint.service.storage.directory import DirectoryStore
from seedpoint.service.storage.store import KINDS, Damaged, Store, key, put
from tests.service.storage.contract import NAME, StoreContract


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


class TestDirectoryStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return DirectoryStore(tmp_path / "store")


def test_a_copy_in_another_process_has_the_same_objects(store: DirectoryStore) -> None:
    put(store, "plans", NAME, [b"x"])
    assert pickle.loads(pickle.dumps(store)).get("plans", NAME) == b"x"


def test_an_object_is_a_file_at_its_key(store: DirectoryStore) -> None:
    for kind in KINDS:
        put(store, kind, NAME, [b"x"])
        assert (store.root / key(kind, NAME)).read_bytes() == b"x"


def test_nothing_is_made_by_reading(store: DirectoryStore) -> None:
    assert store.stat("plans", NAME) is None
    assert not store.use("plans", NAME, 1)
    assert list(store.entries("plans")) == []
    assert not store.delete("plans", NAME, 1)
    assert store.unfinished_bytes("plans") == 0
    store.discard_unfinished(1)
    assert not store.root.exists()


def test_what_is_half_written_or_foreign_is_not_listed(store: DirectoryStore) -> None:
    put(store, "plans", NAME, [b"x"])
    folder = store.root / "plans" / NAME[:2]
    (folder / f".{NAME}.json.0123.tmp").write_bytes(b"{")
    (folder / f"{'ab' * 31}aa.json.orig").write_bytes(b"")
    (folder / "README").write_bytes(b"")
    (folder / f"{'ab' * 31}bb.json").mkdir()
    (folder / f"{'ab' * 31}cc.json").symlink_to("/dev/null")
    (folder / f"{'ab' * 31}dd.json").symlink_to("nothing")
    (folder / f"{'ab' * 31}ee.json").symlink_to(f"{'ab' * 31}ee.json")
    (store.root / "plans" / ".DS_Store").write_bytes(b"")
    assert [entry.name for entry in store.entries("plans")] == [NAME]


def directory(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_bytes(b"somebody's")


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


def looping(path: Path) -> None:
    path.symlink_to(path)


def linked(path: Path) -> None:
    path.symlink_to("/dev/null")


@pytest.mark.parametrize("make", [directory, os.mkfifo, dangling, looping, linked])
def test_what_is_no_file_is_never_read_and_is_put_aside_by_a_write(
    store: DirectoryStore, make: Callable[[Path], None]
) -> None:
    put(store, "plans", NAME, [b"x"])
    path = store.root / key("plans", NAME)
    path.unlink()
    make(path)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for read in (store.get, store.map):
        with pytest.raises((Damaged, FileNotFoundError)):
            read("plans", NAME)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    put(store, "plans", NAME, [b"y"])
    assert store.get("plans", NAME) == b"y"
    assert not path.is_symlink()
    inside = [kept.read_bytes() for kept in store.root.rglob("inside")]
    assert inside == ([b"somebody's"] if make is directory else [])


def test_a_link_to_a_file_is_followed(store: DirectoryStore, tmp_path: Path) -> None:
    put(store, "plans", NAME, [b"x"])
    path, target = store.root / key("plans", NAME), tmp_path / "target"
    path.rename(target)
    path.symlink_to(target)
    assert store.get("plans", NAME) == b"x"
    put(store, "plans", NAME, [b"y"])
    assert path.is_symlink()
    assert target.read_bytes() == b"y"


def test_a_creation_without_hard_links_replaces(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    put(store, "plans", NAME, [b"x"], create=True)
    assert store.get("plans", NAME) == b"x"
    assert len(list((store.root / "plans" / NAME[:2]).iterdir())) == 1


def test_what_a_dead_writer_left_does_not_count(store: DirectoryStore) -> None:
    put(store, "whole_tensors", NAME, [b"x"])
    left = temporary_path(store.root / key("whole_tensors", NAME))
    left.write_bytes(bytes(500_000))
    assert store.unfinished_bytes("whole_tensors") == 0
    assert not left.exists()


def test_the_spool_of_version_0_1_is_removed_but_not_what_is_foreign(
    store: DirectoryStore,
) -> None:
    spool = store.root / "spool"
    spool.mkdir(parents=True)
    names = (NAME, ".ab.lock", ".lock", f".{NAME[:40]}.77.0123456789abcdef.tmp")
    for name in names:
        (spool / name).write_bytes(b"x")
    (spool / "README").write_bytes(b"x")
    (spool / "cd").mkdir()
    store.discard_unfinished(1)
    assert {path.name for path in spool.iterdir()} == {"README", "cd"}
    (spool / "README").unlink()
    (spool / "cd").rmdir()
    store.discard_unfinished(1)
    assert not spool.exists()
