"""Contract of storage backends; a subclass gives a fixture `store`, and is collected."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from seedpoint.service.storage.store import KINDS, Store, put

NAME, OTHER, THIRD = "ab" * 32, "ab" + "cd" * 31, "cd" * 32


class StoreContract:
    """Tests of a backend."""

    # --- whole or by range ----------------------------------------------------------------

    def test_an_object_is_read_as_it_was_written(self, store: Store) -> None:
        put(store, "plans", NAME, [b"one ", memoryview(b"two"), b""])
        assert store.get("plans", NAME) == b"one two"
        assert store.map("plans", NAME)[1] == b"one two"

    def test_an_empty_object_is_an_object(self, store: Store) -> None:
        put(store, "plans", NAME, [])
        assert store.get("plans", NAME) == b""
        assert store.map("plans", NAME)[1] == b""

    def test_a_range_ends_where_the_object_does(self, store: Store) -> None:
        put(store, "materialized", NAME, [b"0123456789"])
        for start, stop in ((0, 10), (3, 7), (0, 0), (8, 20), (10, 11), (50, 60)):
            assert store.get_range("materialized", NAME, start, stop) == b"0123456789"[start:stop]

    def test_what_was_never_written_is_absent(self, store: Store) -> None:
        put(store, "plans", OTHER, [b"x"])
        for read in (store.get, store.map, lambda kind, name: store.get_range(kind, name, 0, 1)):
            with pytest.raises(FileNotFoundError):
                read("plans", NAME)
            with pytest.raises(FileNotFoundError):
                read("blobs", OTHER)
        assert store.stat("plans", NAME) is None
        assert not store.use("plans", NAME, time.time_ns())
        assert not store.delete("plans", NAME)
        assert not store.delete("plans", NAME, time.time_ns())

    def test_kinds_do_not_share_names(self, store: Store) -> None:
        for kind in KINDS:
            put(store, kind, NAME, [kind.encode()])
        for kind in KINDS:
            assert store.get(kind, NAME) == kind.encode()

    def test_a_mapping_is_private_and_outlasts_the_object(self, store: Store) -> None:
        put(store, "whole_tensors", NAME, [b"content"])
        _, kept = store.map("whole_tensors", NAME)
        _, changed = store.map("whole_tensors", NAME)
        changed[:1] = b"C"
        assert store.get("whole_tensors", NAME) == b"content"
        assert store.delete("whole_tensors", NAME)
        assert kept == b"content"

    # --- writing -------------------------------------------------------------------------

    def test_an_object_appears_when_it_is_whole(self, store: Store) -> None:
        with store.writing("plans", NAME) as write:
            write(b"half")
            assert store.stat("plans", NAME) is None
            assert list(store.entries("plans")) == []
            write(b" and half")
        assert store.get("plans", NAME) == b"half and half"

    def test_a_write_that_fails_leaves_what_there_was(self, store: Store) -> None:
        def fail() -> None:
            with store.writing("plans", NAME, size_bytes=100) as write:
                write(b"half")
                raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            fail()
        assert store.stat("plans", NAME) is None
        put(store, "plans", NAME, [b"before"])
        with pytest.raises(RuntimeError):
            fail()
        assert store.get("plans", NAME) == b"before"
        assert store.unfinished_bytes("plans") == 0

    def test_an_object_that_exists_is_replaced_but_not_created(self, store: Store) -> None:
        put(store, "plans", NAME, [b"first"], create=True)
        with pytest.raises(FileExistsError):
            put(store, "plans", NAME, [b"second"], create=True)
        assert store.get("plans", NAME) == b"first"
        put(store, "plans", NAME, [b"third"])
        assert store.get("plans", NAME) == b"third"

    def test_one_of_many_creates_an_object(self, store: Store) -> None:
        together = threading.Barrier(8)

        def create(number: int) -> bytes | None:
            content = b"%d" % number
            try:
                with store.writing("plans", NAME, create=True) as write:
                    write(content)
                    together.wait(60)
            except FileExistsError:
                return None
            return content

        with ThreadPoolExecutor(8) as pool:
            created = [content for content in pool.map(create, range(8)) if content is not None]
        assert [store.get("plans", NAME)] == created

    def test_the_room_for_an_object_counts_while_it_is_written(self, store: Store) -> None:
        content = bytes(100_000)
        with store.writing("whole_tensors", NAME, size_bytes=len(content)) as write:
            assert store.unfinished_bytes("whole_tensors") >= len(content)
            assert store.unfinished_bytes("plans") == 0
            store.discard_unfinished(time.time_ns() + 10**12)  # It has a writer.
            write(content)
        assert store.unfinished_bytes("whole_tensors") == 0
        assert store.get("whole_tensors", NAME) == content

    def test_a_test_write_leaves_nothing(self, store: Store) -> None:
        store.check_writable()
        assert [entry for kind in KINDS for entry in store.entries(kind)] == []

    # --- entries ----------------------------------------------------------------------------

    def test_objects_are_listed_by_prefix(self, store: Store) -> None:
        for name in (NAME, OTHER, THIRD):
            put(store, "plans", name, [b"x"])
        put(store, "blobs", NAME, [b"x"])
        for prefix in ("", "a", "ab", "abab", NAME, "cd", "ce"):
            found = {entry.name for entry in store.entries("plans", prefix)}
            assert found == {name for name in (NAME, OTHER, THIRD) if name.startswith(prefix)}

    def test_an_entry_has_the_size_and_the_times(self, store: Store) -> None:
        before_ns = time.time_ns() - 10**9  # Files may have the time of a coarser clock.
        put(store, "plans", NAME, [bytes(10_000)])
        (entry,) = store.entries("plans")
        assert entry == store.stat("plans", NAME)
        assert (entry.kind, entry.name) == ("plans", NAME)
        assert entry.nbytes >= entry.size_bytes == 10_000
        assert before_ns < entry.stored_ns <= entry.used_ns <= time.time_ns()

    def test_the_version_changes_with_the_object_alone(self, store: Store) -> None:
        put(store, "plans", NAME, [b"first"])
        first, mapped = store.stat("plans", NAME), store.map("plans", NAME)[0]
        assert first is not None
        assert mapped == first.version
        store.use("plans", NAME, time.time_ns())
        used = store.stat("plans", NAME)
        assert used is not None
        assert (used.version, used.stored_ns) == (first.version, first.stored_ns)
        put(store, "plans", NAME, [b"other"])
        second = store.stat("plans", NAME)
        assert second is not None
        assert second.version != first.version

    # --- use and removal -----------------------------------------------------------------------

    def test_a_use_is_noted_and_always_later_than_the_one_before(self, store: Store) -> None:
        put(store, "plans", NAME, [b"x"])
        ahead_ns = time.time_ns() + 10**12
        last_ns = 0
        for used_ns in (1, ahead_ns, ahead_ns, 1):
            assert store.use("plans", NAME, used_ns)
            entry = store.stat("plans", NAME)
            assert entry is not None
            assert entry.used_ns >= used_ns
            assert entry.used_ns > last_ns
            last_ns = entry.used_ns

    def test_an_object_that_was_used_meanwhile_is_not_removed(self, store: Store) -> None:
        put(store, "plans", NAME, [b"x"])
        (seen,) = store.entries("plans")
        store.use("plans", NAME, 1)
        assert not store.delete("plans", NAME, seen.used_ns)
        (seen,) = store.entries("plans")
        assert store.delete("plans", NAME, seen.used_ns)
        assert not store.delete("plans", NAME, seen.used_ns)
        assert list(store.entries("plans")) == []

    def test_an_object_that_was_written_again_is_not_removed(self, store: Store) -> None:
        put(store, "plans", NAME, [b"x"])
        (seen,) = store.entries("plans")
        while time.time_ns() - seen.used_ns < 2 * 10**7:  # Files may have a coarser clock's time.
            time.sleep(0.005)
        put(store, "plans", NAME, [b"x"])
        assert not store.delete("plans", NAME, seen.used_ns)

    def test_an_object_is_removed_without_conditions_too(self, store: Store) -> None:
        put(store, "plans", NAME, [b"x"])
        assert store.delete("plans", NAME)
        assert store.stat("plans", NAME) is None

    # --- locks --------------------------------------------------------------------------------

    @pytest.mark.parametrize("name", [NAME, ""])
    def test_one_at_a_time_holds_a_lock(self, store: Store, name: str) -> None:
        inside: list[int] = []

        def work(number: int) -> bool:
            with store.lock("whole_tensors", name):
                inside.append(number)
                alone = inside == [number]
                time.sleep(0.001)
                inside.remove(number)
                return alone

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(40)))

    def test_the_lock_of_a_kind_is_free_while_a_name_is_locked(self, store: Store) -> None:
        with store.lock("whole_tensors", NAME), store.lock("whole_tensors"):
            put(store, "whole_tensors", NAME, [b"x"])
        assert len(list(store.entries("whole_tensors"))) == 1
