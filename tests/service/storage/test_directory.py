"""The plan store: whole files or none, and nothing that is not what its name says."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from seedpoint.service.errors import CorruptStore, InvalidParameter, NotFound
from seedpoint.service.storage.atomic_files import write_atomically
from seedpoint.service.storage.checkpoint_list import Issued
from seedpoint.service.storage.directory import Store


def put(store: Store, content: bytes, created_ns: int | None = None) -> str:
    id_ = hashlib.sha256(content).hexdigest()
    store.put_plan(id_, content, {})
    if created_ns is not None:
        path = store.root / "plans" / id_[:2] / f"{id_}.json"
        os.utime(path, ns=(created_ns, created_ns))
    return id_


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_plan_comes_back_as_it_was_put(store: Store) -> None:
    assert store.plan(put(store, b"{}")) == b"{}"


def test_a_plans_id_is_the_digest_of_its_first_line(store: Store) -> None:
    id_ = hashlib.sha256(b"{}").hexdigest()
    store.put_plan(id_, b'{}\n{"warnings": []}', {})
    assert store.plan(id_) == b'{}\n{"warnings": []}'


def test_another_store_on_the_same_directory_has_the_same_plans(store: Store) -> None:
    id_ = put(store, b"{}")
    assert Store(store.root).plan(id_) == b"{}"


def test_putting_a_plan_again_says_that_it_is_not_new(store: Store) -> None:
    id_ = hashlib.sha256(b"{}").hexdigest()
    assert store.put_plan(id_, b"{}", {})
    assert not store.put_plan(id_, b"{}", {})


@pytest.mark.parametrize("id_", ["", "0" * 63, "0" * 64, "../" + "0" * 61, "G" * 64, "A" * 64])
def test_an_id_that_was_never_issued_is_not_found(store: Store, id_: str) -> None:
    with pytest.raises(NotFound):
        store.plan(id_)
    assert not store.has_plan(id_)
    assert not store.use(id_)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{} "])
def test_a_changed_plan_is_a_failure_and_never_served(store: Store, content: bytes) -> None:
    id_ = put(store, b"{}")
    (store.root / "plans" / id_[:2] / f"{id_}.json").write_bytes(content)
    with pytest.raises(CorruptStore):
        store.plan(id_)


def test_a_plans_blobs_are_there_before_the_plan(store: Store) -> None:
    digest = hashlib.sha256(b"blob").hexdigest()
    store.put_plan("ab" * 32, b"{}", {digest: b"blob"})
    assert store.blob(digest) == b"blob"


def test_a_blob_that_is_gone_or_changed_is_a_failure_not_absence(store: Store) -> None:
    digest = hashlib.sha256(b"blob").hexdigest()
    with pytest.raises(CorruptStore):
        store.blob(digest)
    store.put_plan("ab" * 32, b"{}", {digest: b"other"})
    with pytest.raises(CorruptStore):
        store.blob(digest)


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def pieces() -> object:
        yield b"half"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(tmp_path / "a" / "file", pieces())  # type: ignore[arg-type]
    assert list((tmp_path / "a").iterdir()) == []


def test_pages_are_newest_first_and_cover_everything_once(store: Store) -> None:
    ids = [put(store, b"%d" % number, created_ns=number // 2 + 1) for number in range(7)]
    found: list[str] = []
    cursor = None
    while True:
        page, cursor = store.page(3, cursor)
        found += [item.id for item in page]
        if cursor is None:
            break
    assert sorted(found) == sorted(ids)
    times = {id_: number // 2 for number, id_ in enumerate(ids)}
    assert [times[id_] for id_ in found] == sorted(times.values(), reverse=True)


def test_a_plan_issued_meanwhile_does_not_shift_the_next_page(store: Store) -> None:
    ids = [put(store, b"%d" % number, created_ns=number + 1) for number in range(4)]
    first, cursor = store.page(2, None)
    put(store, b"new", created_ns=100)
    second, _ = store.page(2, cursor)
    assert [item.id for item in (*first, *second)] == ids[::-1]


def test_an_empty_store_has_an_empty_page(store: Store) -> None:
    assert store.page(10, None) == ([], None)


def test_what_is_half_written_or_foreign_is_not_listed(store: Store) -> None:
    id_ = put(store, b"{}")
    folder = store.root / "plans" / id_[:2]
    (folder / f".{id_}.json.0123.tmp").write_bytes(b"{")
    (folder / "README").write_bytes(b"")
    (store.root / "plans" / ".DS_Store").write_bytes(b"")
    assert [item.id for item in store.page(10, None)[0]] == [id_]


@pytest.mark.parametrize("cursor", ["x", "é", "MTIz", "====", "OjpY", "A" * 1000])
def test_a_cursor_that_was_never_given_out_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(InvalidParameter):
        store.page(10, cursor)


def test_a_cursor_is_where_it_was() -> None:
    item = Issued(123456789, "ab" * 32)
    assert Issued.at(item.cursor) == item
