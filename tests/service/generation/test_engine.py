"""The engine: chunks in order, a bounded look-ahead, reused buffers, work that stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedpoint.models.generation.whole_tensors import WholeTensor
from seedpoint.service.generation.buffer_pool import SMALLEST_BYTES, Buffers
from seedpoint.service.generation.engine import LITTLE_BYTES, Engine
from tests.support.waiting import reached, rested

CHUNK = 4096


def pattern(start: int, stop: int, out: Any) -> None:
    """Fill `out` with bytes that tell their places."""
    places = np.arange(start, stop, dtype=np.uint64)
    out[:] = (places * 2654435761 >> 7).astype(np.uint8)


@dataclass
class Source:
    """Byte source that `fill` fills, cut at multiples of the chunk size."""

    size_bytes: int
    fill: Callable[[int, int, Any], None] = pattern
    is_light: bool = False
    etag: str = '"source"'

    def read(self, start: int, stop: int, out: Any) -> None:
        self.fill(start, stop, out)

    def cuts(self, start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
        while start < stop:
            last = min(stop, (start // nbytes + 1) * nbytes)
            yield start, last
            start = last

    def whole_tensors(self, start: int, stop: int) -> list[WholeTensor]:
        return []


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine(threads=2, chunk_bytes=CHUNK, look_ahead=3, ahead_bytes=1 << 20)
    yield made
    made.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


async def idle(engine: Engine) -> None:
    """Returns when everything is done that was queued: every thread has come to the end of it."""
    end = threading.Barrier(engine.threads)
    await asyncio.gather(*(engine.run(end.wait) for _ in range(engine.threads)))


@given(start=st.integers(0, 5 * CHUNK), length=st.integers(0, 5 * CHUNK))
def test_any_range_is_the_whole_files_slice(start: int, length: int) -> None:
    async def test() -> None:
        engine = Engine(threads=2, chunk_bytes=CHUNK, look_ahead=2, ahead_bytes=1 << 20)
        stream = engine.stream(Source(start + length), (start, start + length))
        got = b"".join([bytes(chunk) async for chunk in stream])
        whole = np.empty(start + length, np.uint8)
        pattern(0, start + length, whole)
        assert got == whole[start:].tobytes()
        engine.close()

    run(test)


def test_chunks_after_the_first_begin_at_multiples_of_their_size(engine: Engine) -> None:
    seen: list[int] = []

    def read(start: int, stop: int, out: Any) -> None:
        seen.append(start)
        pattern(start, stop, out)

    async def test() -> None:
        _ = [
            chunk async for chunk in engine.stream(Source(3 * CHUNK + 1, read), (5, 3 * CHUNK + 1))
        ]

    run(test)
    assert sorted(seen) == [5, CHUNK, 2 * CHUNK, 3 * CHUNK]


def test_no_more_is_made_than_the_look_ahead_until_it_is_taken(engine: Engine) -> None:
    made: list[int] = []

    def read(start: int, stop: int, out: Any) -> None:
        made.append(start)
        pattern(start, stop, out)

    async def test() -> None:
        async with aclosing(engine.stream(Source(100 * CHUNK, read))) as body:
            for taken in range(1, 5):
                await anext(body)
                await idle(engine)
                assert taken <= len(made) <= taken + 2

    run(test)


def test_closing_a_body_stops_it_within_the_chunks_under_way() -> None:
    made: list[int] = []
    go = threading.Event()

    def read(start: int, stop: int, out: Any) -> None:
        made.append(start)
        if start:
            go.wait(60)
        pattern(start, stop, out)

    async def test() -> None:
        engine = Engine(threads=1, chunk_bytes=CHUNK, look_ahead=3, ahead_bytes=1 << 20)
        async with aclosing(engine.stream(Source(1000 * CHUNK, read))) as body:
            await anext(body)
            await reached(lambda: made == [0, CHUNK])  # The next waits for the thread.
        go.set()
        await idle(engine)
        assert made == [0, CHUNK]
        engine.close()

    run(test)


def test_a_chunk_that_fails_fails_the_body(engine: Engine) -> None:
    def read(start: int, stop: int, out: Any) -> None:
        if start:
            raise OSError("gone")
        pattern(start, stop, out)

    async def test() -> None:
        async with aclosing(engine.stream(Source(10 * CHUNK, read))) as body:
            await anext(body)
            with pytest.raises(OSError, match="gone"):
                await anext(body)

    run(test)


def test_two_bodies_share_the_threads_chunk_by_chunk() -> None:
    order: list[str] = []
    go = threading.Event()

    def reader(name: str) -> Callable[[int, int, Any], None]:
        def read(start: int, stop: int, out: Any) -> None:
            order.append(name)
            go.wait(60)

        return read

    async def consume(engine: Engine, name: str, chunks: int) -> None:
        async for _ in engine.stream(Source(chunks * CHUNK, reader(name))):
            pass

    async def test() -> None:
        engine = Engine(threads=1, chunk_bytes=CHUNK, look_ahead=3, ahead_bytes=1 << 20)
        large = asyncio.create_task(consume(engine, "large", 40))
        await reached(lambda: order == ["large"])
        small = asyncio.create_task(consume(engine, "small", 1))
        await rested()  # Its chunk is queued, after those that the large one has ahead.
        go.set()
        await asyncio.gather(small, large)
        assert order.index("small") == 3
        engine.close()

    run(test)


def test_many_bodies_have_small_chunks_and_one_has_large_ones() -> None:
    sizes: dict[str, list[int]] = {"alone": [], "crowd": []}

    def reader(name: str) -> Any:
        def read(start: int, stop: int, out: Any) -> None:
            sizes[name].append(stop - start)

        return read

    async def consume(engine: Engine, name: str) -> None:
        async for _ in engine.stream(Source(1 << 24, reader(name))):
            await asyncio.sleep(0)

    async def test() -> None:
        engine = Engine(threads=2, chunk_bytes=1 << 21, look_ahead=4, ahead_bytes=1 << 24)
        await consume(engine, "alone")
        await asyncio.gather(*(consume(engine, "crowd") for _ in range(16)))
        engine.close()

    run(test)
    assert sizes["alone"][0] == 1 << 18
    assert max(sizes["alone"]) == 1 << 21
    assert sorted(sizes["crowd"])[len(sizes["crowd"]) // 2] == 1 << 18


def test_a_small_span_of_a_light_source_is_read_at_once_and_all_else_by_threads() -> None:
    readers: list[str] = []

    def read(start: int, stop: int, out: Any) -> None:
        readers.append(threading.current_thread().name.partition("_")[0])

    async def test() -> None:
        engine = Engine(threads=1, chunk_bytes=1 << 20, look_ahead=3, ahead_bytes=1 << 20)
        for light, size in ((True, LITTLE_BYTES), (True, LITTLE_BYTES + 1), (False, 10)):
            async for _ in engine.stream(Source(size, read, is_light=light)):
                pass
        engine.close()

    run(test)
    assert readers == ["MainThread", "engine", "engine"]


# --- buffers -------------------------------------------------------------------


def test_a_buffer_comes_back_when_its_chunk_is_let_go() -> None:
    buffers = Buffers(keep_bytes=4 * SMALLEST_BYTES)
    chunk = buffers.take(10)
    assert buffers.waiting_bytes == 0
    del chunk
    assert buffers.waiting_bytes == SMALLEST_BYTES


def test_a_buffer_is_not_reused_while_anyone_can_still_read_it() -> None:
    buffers = Buffers(keep_bytes=4 * SMALLEST_BYTES)
    first = buffers.take(4)
    first[:] = 1
    held = memoryview(memoryview(first))[1:3].cast("b")  # As a transport holds what is unsent.
    del first
    assert buffers.waiting_bytes == 0
    second = buffers.take(4)
    second[:] = 2
    assert bytes(held) == b"\1\1"
    held.release()
    assert buffers.waiting_bytes == SMALLEST_BYTES


def test_a_buffer_that_is_free_is_the_next_one_taken() -> None:
    buffers = Buffers(keep_bytes=4 * SMALLEST_BYTES)
    address = buffers.take(8).ctypes.data
    assert buffers.take(100).ctypes.data == address


def test_no_more_buffers_are_kept_than_asked() -> None:
    buffers = Buffers(keep_bytes=2 * SMALLEST_BYTES)
    chunks = [buffers.take(1) for _ in range(5)]
    del chunks
    assert buffers.waiting_bytes == 2 * SMALLEST_BYTES


def test_buffers_of_a_size_that_is_no_longer_taken_make_room_for_others() -> None:
    buffers = Buffers(keep_bytes=4 * SMALLEST_BYTES)
    chunks = [buffers.take(SMALLEST_BYTES) for _ in range(4)]
    del chunks
    large = buffers.take(3 * SMALLEST_BYTES)
    address = large.ctypes.data
    del large
    assert buffers.waiting_bytes <= 4 * SMALLEST_BYTES
    assert buffers.take(4 * SMALLEST_BYTES).ctypes.data == address


def test_buffers_come_back_from_other_threads() -> None:
    buffers = Buffers(keep_bytes=8 * SMALLEST_BYTES)

    def use() -> None:
        for _ in range(1000):
            chunk = buffers.take(CHUNK)
            chunk[:] = threading.get_ident() % 251
            assert (chunk == threading.get_ident() % 251).all()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Each thread takes the next before it drops the last.
    assert 0 < buffers.waiting_bytes <= 8 * SMALLEST_BYTES


def test_a_whole_body_takes_few_buffers(engine: Engine) -> None:
    addresses: set[int] = set()

    def read(start: int, stop: int, out: Any) -> None:
        addresses.add(out.ctypes.data)

    async def test() -> None:
        async for _ in engine.stream(Source(500 * CHUNK, read)):
            pass

    run(test)
    assert len(addresses) <= 6
