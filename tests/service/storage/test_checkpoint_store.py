"""The checkpoint store: whole objects or none, and nothing that is not what its name says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from seedpoint.service.errors import CorruptStore, NotFound
from seedpoint.service.storage import store as objects
from seedpoint.service.storage.atomic_files import write_atomically
from seedpoint.service.storage.checkpoint_store import CheckpointStore, Issued
from seedpoint.service.storage.store import Damaged, Kind, Store
from tests.support.blocks import forget_blocks


def put(store: CheckpointStore, content: bytes) -> str:
    id_ = hashlib.sha256(content).hexdigest()
    store.put_plan(id_, content, {})
    return id_


@pytest.fixture
def store(backend: Store) -> CheckpointStore:
    return CheckpointStore(backend)


def test_a_plan_comes_back_as_it_was_put(store: CheckpointStore) -> None:
    assert store.plan(put(store, b"{}")) == b"{}"


def test_a_plans_id_is_the_digest_of_its_first_line(store: CheckpointStore) -> None:
    id_ = hashlib.sha256(b"{}").hexdigest()
    store.put_plan(id_, b'{}\n{"warnings": []}', {})
    assert store.plan(id_) == b'{}\n{"warnings": []}'


def test_another_store_on_the_same_backend_has_the_same_plans(
    store: CheckpointStore, backend: Store
) -> None:
    id_ = put(store, b"{}")
    assert CheckpointStore(backend).plan(id_) == b"{}"


def test_putting_a_plan_again_says_that_it_is_not_new(store: CheckpointStore) -> None:
    id_ = hashlib.sha256(b"{}").hexdigest()
    assert store.put_plan(id_, b"{}", {})
    assert not store.put_plan(id_, b"{}", {})


@pytest.mark.parametrize("id_", ["", "0" * 63, "0" * 64, "../" + "0" * 61, "G" * 64, "A" * 64])
def test_an_id_that_was_never_issued_is_not_found(store: CheckpointStore, id_: str) -> None:
    with pytest.raises(NotFound):
        store.plan(id_)
    assert not store.has_plan(id_)
    assert not store.use(id_)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{} "])
def test_a_changed_plan_is_a_failure_and_never_served(
    store: CheckpointStore, backend: Store, content: bytes
) -> None:
    id_ = put(store, b"{}")
    objects.put(backend, "plans", id_, [content])
    with pytest.raises(CorruptStore):
        store.plan(id_)


def test_a_plans_blobs_are_there_before_the_plan(store: CheckpointStore) -> None:
    digest = hashlib.sha256(b"blob").hexdigest()
    store.put_plan("ab" * 32, b"{}", {digest: b"blob"})
    assert store.blob(digest) == b"blob"


def test_a_blob_that_is_gone_or_changed_is_a_failure_not_absence(store: CheckpointStore) -> None:
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


def test_pages_are_newest_first_and_cover_everything_once(store: CheckpointStore) -> None:
    ids = [put(store, b"%d" % number) for number in range(7)]
    found: list[Issued] = []
    last = None
    while True:
        page, last = store.page(3, last)
        found += page
        if last is None:
            break
        assert last == page[-1]
    assert sorted(item.id for item in found) == sorted(ids)
    assert found == sorted(found, key=lambda item: (item.created_ns, item.id), reverse=True)


def test_a_plan_issued_meanwhile_does_not_shift_the_next_page(store: CheckpointStore) -> None:
    for number in range(4):
        put(store, b"%d" % number)
    before, _ = store.page(4)
    first, last = store.page(2)
    put(store, b"new")
    second, _ = store.page(2, last)
    assert [*first, *second] == before


def test_an_empty_store_has_an_empty_page(store: CheckpointStore) -> None:
    assert store.page(10) == ([], None)


def test_the_names_of_plans_are_read_for_a_listing_and_go_with_them(
    store: CheckpointStore, backend: Store
) -> None:
    named, damaged, plain = (put(store, text) for text in (b"1", b"2", b"3"))
    store.put_about(named, b'{"name":"a probe"}')
    objects.put(backend, "about", damaged, [b"{"])
    assert store.about_each([named, damaged, plain]) == {named: {"name": "a probe"}}
    (plan,) = (entry for entry in store.entries("plans") if entry.name == named)
    assert store.remove(plan)
    assert store.about_each([named]) == {}


def test_ids_are_found_by_their_first_digits(store: CheckpointStore) -> None:
    ids = [put(store, b"%d" % number) for number in range(300)]
    for digits in (ids[0][:2], ids[0][:5], ids[0], "0" * 20):
        expected = [id_ for id_ in ids if id_.startswith(digits)]
        assert sorted(store.beginning(digits)) == sorted(expected)


def test_statistics_and_digests_come_back_as_they_were_put(store: CheckpointStore) -> None:
    id_ = put(store, b"{}")
    assert store.statistics(id_) is None
    store.put_statistics(id_, b"statistics")
    store.put_digests(id_, b"digests")
    assert (store.statistics(id_), store.digests(id_)) == (b"statistics", b"digests")


@pytest.mark.parametrize("content", [b"", b"half", b"half\n" + b"0" * 64])
def test_a_damaged_cache_is_as_if_it_were_absent(
    store: CheckpointStore, backend: Store, content: bytes
) -> None:
    id_ = put(store, b"{}")
    objects.put(backend, "statistics", id_, [content])
    assert store.statistics(id_) is None
    store.put_statistics(id_, b"again")
    assert store.statistics(id_) == b"again"


def test_a_damaged_plan_is_written_again_by_the_next_put(
    store: CheckpointStore, backend: Store
) -> None:
    id_ = put(store, b"{}")
    objects.put(backend, "plans", id_, [b"damaged"])
    assert not store.has_intact_plan(id_)
    assert not store.put_plan(id_, b"{}", {})
    assert store.plan(id_) == b"{}"


def test_tensors_are_read_by_range_and_never_damaged(
    store: CheckpointStore, backend: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = put(store, b"{}")
    assert store.materialized(id_, 7) is None
    assert store.materialized_version(id_) is None
    store.put_materialized(id_, [b"ten", b"sors"])
    version = store.materialized_version(id_)
    assert version is not None
    file = store.materialized(id_, 7)
    assert file is not None
    assert bytes(file.read(2, 5)) == b"nso"
    with pytest.raises(Damaged):
        store.materialized(id_, 6)
    forget_blocks(monkeypatch)
    objects.put(backend, "materialized", id_, [b"T" + backend.get("materialized", id_)[1:]])
    with pytest.raises(Damaged):
        file.read(2, 5)
    assert store.materialized_version(id_) != version


def test_a_plan_that_is_issued_while_it_is_removed_keeps_its_tensors(backend: Store) -> None:
    """A process removes the plan between the steps of another that issues it again."""
    store = CheckpointStore(backend)
    id_ = put(store, b"{}")
    store.put_materialized(id_, [b"tensors"])
    (seen,) = store.entries("plans")

    class Between:
        """The backend of who removes: the other has its turn right after the plan is gone."""

        def __getattr__(self, name: str) -> object:
            return getattr(backend, name)

        def delete(self, kind: Kind, name: str, unused_since_ns: int | None = None) -> bool:
            removed = backend.delete(kind, name, unused_since_ns)
            if kind == "plans":
                assert store.put_plan(id_, b"{}", {})
            return removed

    assert CheckpointStore(Between()).remove(seen)  # type: ignore[arg-type]
    assert store.has_intact_plan(id_)
    assert store.materialized_version(id_) is not None
