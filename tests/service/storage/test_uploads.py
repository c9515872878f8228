"""Blobs in a store: whole and right or absent, bounded in total, never a damaged byte."""

from __future__ import annotations

import asyncio
import hashlib
import json
import pickle
import struct
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from seedpoint.models.verify.blob_header import MAX_HEAD_BYTES
from seedpoint.service.errors import (
    BlobMissing,
    BodyTooLarge,
    ClientGone,
    CorruptStore,
    DigestMismatch,
    InvalidBlob,
    StoreFull,
)
from seedpoint.service.storage.blob_files import KIND, NOTE_SECONDS, BlobFiles
from seedpoint.service.storage.checkpoint_store import CheckpointStore
from seedpoint.service.storage.checksums import (
    BLOCK_BYTES,
    content_bytes,
    trailer_bytes,
    with_block_digests,
)
from seedpoint.service.storage.directory import DirectoryStore
from seedpoint.service.storage.eviction import GRACE_SECONDS, Policy
from seedpoint.service.storage.retention import QUIET_SECONDS, Retention
from seedpoint.service.storage.store import Store, put
from seedpoint.service.storage.uploads import Uploads
from tests.support.blob_files import sha256
from tests.support.clocks import FakeClock

SIZE = 3 * BLOCK_BYTES + 12_345
GIB = 1 << 30


def blob(size_bytes: int = SIZE, seed: int = 0) -> bytes:
    """Return a safetensors file of at least `size_bytes`."""
    drawn = np.random.default_rng(seed).integers(0, 256, size_bytes, np.uint8)
    return save({"x": torch.from_numpy(drawn), "y": torch.arange(5)})


async def pieces(content: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def cut(content: bytes, error: type[BaseException] = ClientGone) -> AsyncIterator[bytes]:
    """Yield half of a content, and then leave."""
    async for piece in pieces(content[: len(content) // 2]):
        yield piece
    raise error


@pytest.fixture
def uploads(backend: Store, store: CheckpointStore, clock: FakeClock) -> Uploads:
    return limited(backend, store, clock, GIB)


def limited(backend: Store, store: CheckpointStore, clock: FakeClock, most: int) -> Uploads:
    return Uploads(backend, store, BlobFiles(backend, clock=clock), most, clock=clock)


def receive(uploads: Uploads, content: bytes, name: str = "", **more: Any) -> bool:
    """Upload a blob with its size declared, unless `size_bytes` is None."""
    declared = {"size_bytes": len(content)} | more
    return asyncio.run(uploads.receive(name or sha256(content), pieces(content), **declared))


def whole(uploads: Uploads, name: str) -> bytes:
    out = np.empty(uploads.files.size_bytes(name) or 0, np.uint8)
    uploads.files.read(name, 0, out)
    return out.tobytes()


def names(backend: Store) -> set[str]:
    assert backend.unfinished_bytes(KIND) == 0
    return {entry.name for entry in backend.entries(KIND)}


def plan_naming(store: CheckpointStore, name: str) -> str:
    """Store a plan that names a blob; return its id."""
    plan = b'[{"sha256":"%s"}]' % name.encode()
    store.put_plan(sha256(plan), plan, {}, [name])
    return sha256(plan)


# --- received ------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, SIZE])
def test_a_blob_is_read_as_it_was_received(uploads: Uploads, size: int, declared: bool) -> None:
    content = blob(size)
    more = {} if declared else {"size_bytes": None}
    assert uploads.files.size_bytes(sha256(content)) is None
    assert receive(uploads, content, **more)
    assert uploads.files.size_bytes(sha256(content)) == len(content)
    assert whole(uploads, sha256(content)) == content
    assert not receive(uploads, content, **more)


def test_a_blob_that_is_there_is_not_received_again(uploads: Uploads) -> None:
    content = blob()
    receive(uploads, content)

    async def never() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    assert not asyncio.run(uploads.receive(sha256(content), never()))


@pytest.mark.parametrize("error", [ClientGone, asyncio.CancelledError, RuntimeError])
def test_nothing_is_left_of_a_client_that_leaves(
    uploads: Uploads, backend: Store, error: type[BaseException]
) -> None:
    content = blob()
    with pytest.raises(error):
        asyncio.run(uploads.receive(sha256(content), cut(content, error), size_bytes=len(content)))
    assert names(backend) == set()
    assert receive(uploads, content)


def test_nothing_is_left_of_an_upload_that_is_cancelled(uploads: Uploads, backend: Store) -> None:
    content = blob()
    stuck = threading.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield content[: 2 * BLOCK_BYTES]
        stuck.set()
        await asyncio.sleep(60)

    async def cancel() -> None:
        task = asyncio.create_task(uploads.receive(sha256(content), stalled()))
        while not stuck.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    asyncio.run(cancel())
    assert names(backend) == set()


def test_other_bytes_than_the_name_says_are_refused(uploads: Uploads, backend: Store) -> None:
    content, other = blob(), blob(seed=1)
    with pytest.raises(DigestMismatch, match=f"{sha256(other)}, not {sha256(content)}"):
        receive(uploads, other, sha256(content))
    with pytest.raises(DigestMismatch, match="sha512"):
        receive(uploads, content, digests={"sha512": bytes(64)})
    assert names(backend) == set()
    assert receive(uploads, content, digests={"sha512": hashlib.sha512(content).digest()})


def test_of_two_who_send_a_blob_at_once_one_stores_it(uploads: Uploads, backend: Store) -> None:
    content = blob()

    async def both() -> list[bool]:
        together = asyncio.Barrier(2)

        async def slowly() -> AsyncIterator[bytes]:
            yield content[: 2 * BLOCK_BYTES]
            await together.wait()
            yield content[2 * BLOCK_BYTES :]

        return await asyncio.gather(
            *(uploads.receive(sha256(content), slowly(), size_bytes=len(content)) for _ in "ab")
        )

    assert sorted(asyncio.run(both())) == [False, True]
    assert names(backend) == {sha256(content)}
    assert whole(uploads, sha256(content)) == content


# --- only safetensors ------------------------------------------------------------------


def file_of(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def u8(start: int, stop: int) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [stop - start], "data_offsets": [start, stop]}


FAULTY = {
    "nothing": (b"", "0 bytes"),
    "short": (b"1234567", "7 bytes"),
    "pickle": (b"PK\x03\x04" + bytes(100), "its header would have 67,324,7"),
    "zeros": (bytes(100), "not JSON"),
    "endless": (struct.pack("<Q", 1 << 60) + bytes(100), "at most"),
    "long": (struct.pack("<Q", MAX_HEAD_BYTES) + bytes(MAX_HEAD_BYTES), "in a blob"),
    "list": (file_of([]), "not a JSON object"),
    "overlapping": (file_of({"a": u8(0, 4), "b": u8(2, 6)}, bytes(6)), "overlap"),
    "truncated": (file_of({"a": u8(0, 9)}, bytes(8)), "truncated"),
    "padded": (file_of({"a": u8(0, 7)}, bytes(8)), "belong to none"),
    "gap": (file_of({"a": u8(4, 8)}, bytes(8)), "belong to no tensor"),
}


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("fault", FAULTY)
def test_what_is_no_safetensors_file_is_refused(
    uploads: Uploads, backend: Store, fault: str, declared: bool
) -> None:
    content, said = FAULTY[fault]
    with pytest.raises(InvalidBlob) as caught:
        receive(uploads, content, **({} if declared else {"size_bytes": None}))
    assert said in str(caught.value)
    assert names(backend) == set()


def test_a_fault_of_the_header_is_found_before_the_rest_is_sent(uploads: Uploads) -> None:
    content = file_of({"a": u8(0, 4), "b": u8(2, 6)}, bytes(6))
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield content
        while True:
            sent += BLOCK_BYTES
            yield bytes(BLOCK_BYTES)

    with pytest.raises(InvalidBlob, match="overlap"):
        asyncio.run(uploads.receive(sha256(content), endless(), size_bytes=GIB // 2))
    assert sent <= 4 * BLOCK_BYTES


def test_a_blob_that_was_stored_otherwise_is_refused_when_it_is_used(backend: Store) -> None:
    files = BlobFiles(backend)
    with pytest.raises(ValueError, match=f"no blob {'ab' * 32} here; PUT /v1/blobs/{'ab' * 32} fi"):
        files.tensors("ab" * 32)
    content = b"no safetensors file"
    name = sha256(content)
    put(backend, KIND, name, with_block_digests([content], name))
    with pytest.raises(ValueError, match=f"blob {name}: not a safetensors file: its header"):
        files.tensors(name)


# --- bounded -----------------------------------------------------------------------------


def test_a_blob_larger_than_all_may_be_is_refused_at_once(
    backend: Store, store: CheckpointStore, clock: FakeClock
) -> None:
    content = blob()
    uploads = limited(backend, store, clock, len(content))  # without room for its digests
    for declared in (len(content), None):
        with pytest.raises(BodyTooLarge, match=rf"{len(content)} bytes in all \(blob_bytes\)"):
            receive(uploads, content, size_bytes=declared)
    assert names(backend) == set()
    most = len(content) + trailer_bytes(len(content)) + 4096  # a file takes whole blocks
    assert receive(limited(backend, store, clock, most), content)


@pytest.mark.parametrize("declared", [True, False])
def test_the_longest_unused_that_no_plan_names_go_for_a_new_one(
    backend: Store, store: CheckpointStore, clock: FakeClock, declared: bool
) -> None:
    contents = [blob(seed=seed) for seed in range(5)]
    ids = [sha256(content) for content in contents]
    uploads = limited(backend, store, clock, int(4.5 * SIZE))
    for content in contents[:3]:
        receive(uploads, content)
        clock.pass_(10)
    plan_naming(store, ids[0])
    clock.pass_(GRACE_SECONDS + 1)
    uploads.files.check([ids[1]])
    receive(uploads, contents[3])
    assert names(backend) == set(ids[:4])
    clock.pass_(GRACE_SECONDS + 1)
    receive(uploads, contents[4], **({} if declared else {"size_bytes": None}))
    assert names(backend) == {ids[0], ids[1], ids[3], ids[4]}


def test_what_plans_name_and_what_was_just_put_stays(
    backend: Store, store: CheckpointStore, clock: FakeClock
) -> None:
    contents = [blob(seed=seed) for seed in range(3)]
    uploads = limited(backend, store, clock, 2 * (SIZE + 20_000))
    receive(uploads, contents[0])
    plan_naming(store, sha256(contents[0]))
    clock.pass_(10**6)
    receive(uploads, contents[1])
    clock.pass_(GRACE_SECONDS - 10)
    with pytest.raises(StoreFull, match="leave no room"):
        receive(uploads, contents[2])
    assert names(backend) == {sha256(content) for content in contents[:2]}
    clock.pass_(20)
    assert receive(uploads, contents[2])
    assert names(backend) == {sha256(contents[0]), sha256(contents[2])}


def test_age_removes_what_no_plan_names(
    backend: Store, store: CheckpointStore, clock: FakeClock, uploads: Uploads
) -> None:
    contents = [blob(1000, seed) for seed in range(3)]
    for content in contents:
        receive(uploads, content)
    kept = plan_naming(store, sha256(contents[0]))
    clock.pass_(2000)
    store.use(kept)
    uploads.files.check([sha256(contents[1])])

    def sweep(policy: Policy) -> None:
        now = FakeClock()
        now.pass_(clock().wall_ns / 1e9 - now().wall_ns / 1e9)
        retention = Retention(store, policy, lambda _: True, clock=now)
        now.pass_(QUIET_SECONDS)
        asyncio.run(retention.sweep())

    sweep(Policy(None, None, 10**12))
    assert len(names(backend)) == 3
    sweep(Policy(1000, None, 10**12))
    assert names(backend) == {sha256(content) for content in contents[:2]}


# --- used ----------------------------------------------------------------------------------


def test_a_use_is_noted_once_a_minute(backend: Store, uploads: Uploads, clock: FakeClock) -> None:
    content = blob(1000)
    receive(uploads, content)

    def used() -> int:
        entry = backend.stat(KIND, sha256(content))
        assert entry is not None
        return entry.used_ns

    uploads.files.check([sha256(content)])
    first = used()
    clock.pass_(NOTE_SECONDS - 1)
    uploads.files.check([sha256(content)])
    assert used() == first
    clock.pass_(2)
    uploads.files.check([sha256(content)])
    assert used() > first
    backend.delete(KIND, sha256(content))
    with pytest.raises(BlobMissing, match="PUT /v1/blobs/"):
        uploads.files.check([sha256(content)])


def test_a_plan_is_not_stored_without_its_blobs(store: CheckpointStore, uploads: Uploads) -> None:
    with pytest.raises(BlobMissing):
        plan_naming(store, "ab" * 32)
    content = blob(1000)
    receive(uploads, content)
    assert store.has_plan(plan_naming(store, sha256(content)))


def test_a_blob_that_has_gone_is_missing_at_once(uploads: Uploads, backend: Store) -> None:
    content = blob()
    name = sha256(content)
    receive(uploads, content)
    uploads.files.tensors(name)
    backend.delete(KIND, name)
    with pytest.raises(ValueError, match="PUT"):
        uploads.files.tensors(name)
    with pytest.raises(BlobMissing):
        uploads.files.read(name, 2 * BLOCK_BYTES, np.empty(10, np.uint8))


def test_a_pickled_copy_has_the_same_blobs(tmp_path: Path) -> None:
    backend = DirectoryStore(tmp_path)
    uploads = Uploads(backend, CheckpointStore(backend), BlobFiles(backend), GIB)
    content = blob()
    receive(uploads, content)
    copy = pickle.loads(pickle.dumps(uploads.files))
    assert copy.tensors(sha256(content)).keys() == {"x", "y"}


@given(st.integers(0, 5 * BLOCK_BYTES))
def test_the_length_of_a_file_says_that_of_its_content(size_bytes: int) -> None:
    assert content_bytes(size_bytes + trailer_bytes(size_bytes)) == size_bytes


# --- damaged -------------------------------------------------------------------------------


DAMAGES: dict[str, Callable[[bytearray], object]] = {
    "a bit": lambda raw: raw.__setitem__(2 * BLOCK_BYTES + 5, raw[2 * BLOCK_BYTES + 5] ^ 1),
    "a digest": lambda raw: raw.__setitem__(-40, raw[-40] ^ 1),
    "cut": lambda raw: raw.__delitem__(slice(-BLOCK_BYTES, None)),
    "empty": lambda raw: raw.clear(),
    "longer": lambda raw: raw.extend(b"x"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("opened", [True, False])
def test_a_damaged_blob_gives_no_byte_and_is_replaced_by_the_next_put(
    tmp_path: Path, damage: str, opened: bool
) -> None:
    backend = DirectoryStore(tmp_path)
    store = CheckpointStore(backend)
    uploads = Uploads(backend, store, BlobFiles(backend), GIB)
    content = blob()
    name = sha256(content)
    receive(uploads, content)
    files = uploads.files if opened else BlobFiles(backend)
    files = BlobFiles(backend)
    if opened:
        files.open(name)
    (path,) = tmp_path.glob(f"uploads/*/{name}.bin")
    raw = bytearray(path.read_bytes())
    DAMAGES[damage](raw)
    path.write_bytes(raw)
    is_whole = opened and damage in ("a digest", "longer")  # the digests were read before
    if is_whole:
        out = np.empty(len(content), np.uint8)
        files.read(name, 0, out)
        assert out.tobytes() == content
    else:
        with pytest.raises(CorruptStore, match=f"PUT /v1/blobs/{name} again"):
            files.read(name, 2 * BLOCK_BYTES, np.empty(100, np.uint8))
    assert receive(Uploads(backend, store, BlobFiles(backend), GIB), content)
    assert whole(uploads, name) == content


def test_only_the_blocks_of_a_range_are_read(uploads: Uploads, backend: Store) -> None:
    content = blob(8 * BLOCK_BYTES)
    receive(uploads, content)
    read: list[tuple[int, int]] = []

    class Watching:
        def __getattr__(self, name: str) -> Any:
            return getattr(backend, name)

        def get_range(self, kind: Any, name: str, start: int, stop: int) -> bytes:
            read.append((start, stop))
            return backend.get_range(kind, name, start, stop)

    files = BlobFiles(Watching())
    files.open(sha256(content))
    read.clear()
    out = np.empty(100, np.uint8)
    files.read(sha256(content), 5 * BLOCK_BYTES - 50, out)
    assert out.tobytes() == content[5 * BLOCK_BYTES - 50 :][:100]
    assert read == [(4 * BLOCK_BYTES, 5 * BLOCK_BYTES), (5 * BLOCK_BYTES, 6 * BLOCK_BYTES)]
