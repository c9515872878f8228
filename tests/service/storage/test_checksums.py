"""Sealed files: whatever happens to one, what is read is what was written, or nothing is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.service.storage import checksums
from seedpoint.service.storage.checksums import (
    BlockFile,
    checked_content,
    sealed,
    trailer_bytes,
    unsealed,
    with_block_digests,
)
from seedpoint.service.storage.store import Damaged

ID = "ab" * 32
BLOCK = 16


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "BLOCK_BYTES", BLOCK)


def content(nbytes: int) -> bytes:
    return hashlib.shake_256(b"content").digest(nbytes)


def stored(path: Path, nbytes: int) -> BlockFile:
    path.write_bytes(b"".join(with_block_digests([content(nbytes)], ID)))
    return opened(path, ID, nbytes)


def opened(path: Path, id_: str, nbytes: int) -> BlockFile:
    return BlockFile(lambda start, stop: path.read_bytes()[start:stop], id_, nbytes)


def flip(path: Path, at: int) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= 1
    path.write_bytes(damaged)


# --- short files -----------------------------------------------------------------------


@given(st.binary())
def test_a_sealed_file_is_unsealed(content: bytes) -> None:
    assert unsealed(sealed(content)) == content


@given(st.binary(max_size=50), st.data())
def test_a_flipped_bit_of_a_sealed_file_is_seen(content: bytes, data: st.DataObject) -> None:
    file = bytearray(sealed(content))
    file[data.draw(st.integers(0, len(file) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Damaged):
        unsealed(bytes(file))


@given(st.binary(max_size=50), st.data())
def test_the_beginning_of_a_sealed_file_is_not_taken_for_it(
    content: bytes, data: st.DataObject
) -> None:
    file = sealed(content)
    with pytest.raises(Damaged):
        unsealed(file[: data.draw(st.integers(0, len(file) - 1))])


# --- long files ------------------------------------------------------------------------


def test_the_trailer_is_the_digest_of_each_block_and_of_these() -> None:
    (data, trailer) = with_block_digests([content(20)], ID)
    assert data == content(20)
    digests = hashlib.sha256(content(16)).digest() + hashlib.sha256(content(20)[16:]).digest()
    seal = hashlib.sha256(ID.encode() + (20).to_bytes(8, "little") + digests).digest()
    assert trailer == digests + seal


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_digests_do_not_depend_on_the_pieces(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert b"".join(with_block_digests(pieces, ID)) == b"".join(with_block_digests([whole], ID))


@pytest.mark.parametrize("nbytes", [0, 1, 15, 16, 17, 48, 50])
def test_any_range_is_read(tmp_path: Path, nbytes: int) -> None:
    file = stored(tmp_path / "file", nbytes)
    for start in range(nbytes + 1):
        for stop in range(start, nbytes + 1):
            assert bytes(file.read(start, stop)) == content(nbytes)[start:stop]


def test_a_flipped_bit_fails_the_reads_of_its_block_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = stored(path, 50)
    for at in range(50):
        flip(path, at)
        for block in range(4):
            start, stop = BLOCK * block, min(BLOCK * (block + 1), 50)
            if start <= at < stop:
                with pytest.raises(Damaged):
                    file.read(start, stop)
            else:
                assert bytes(file.read(start, stop)) == content(50)[start:stop]
        flip(path, at)


def test_a_flipped_bit_of_the_trailer_is_seen_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    stored(path, 50)
    for at in range(50, path.stat().st_size):
        flip(path, at)
        with pytest.raises(Damaged):
            opened(path, ID, 50)
        flip(path, at)


def test_a_file_of_another_length_or_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    stored(path, 50)
    for id_, nbytes in (("cd" * 32, 50), (ID, 49), (ID, 18)):
        with pytest.raises(Damaged):
            opened(path, id_, nbytes)


def test_a_file_that_is_truncated_while_it_is_open_fails_and_kills_nobody(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = stored(path, 50)
    with path.open("r+b") as opened:
        opened.truncate(20)
    assert bytes(file.read(0, 16)) == content(16)
    with pytest.raises(Damaged):
        file.read(16, 50)


def test_a_file_that_is_stored_again_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = stored(path, 50)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        file.read(32, 50)
    stored(path, 50)
    assert bytes(file.read(0, 50)) == content(50)


@pytest.mark.parametrize("nbytes", [0, 1, 15, 16, 17, 50])
def test_a_whole_file_is_its_content_unless_a_bit_is_flipped_or_missing(nbytes: int) -> None:
    file = b"".join(with_block_digests([content(nbytes)], ID))
    assert len(file) == nbytes + trailer_bytes(nbytes)
    assert checked_content(memoryview(file), ID, nbytes) == content(nbytes)
    for at in range(len(file)):
        flipped = bytearray(file)
        flipped[at] ^= 1
        for damaged in (flipped, file[:at]):
            with pytest.raises(Damaged):
                checked_content(memoryview(damaged), ID, nbytes)
    for id_, length in (("cd" * 32, nbytes), (ID, nbytes + 1)):
        with pytest.raises(Damaged):
            checked_content(memoryview(file), id_, length)
