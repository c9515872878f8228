"""Readers of every pace at once: each gets its bytes, and none gets in the way of another."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from random import Random

import httpx
import pytest

from seedpoint.service.generation.engine import FIRST_BYTES
from tests.support.files import FOREVER
from tests.support.running import Running, mlp
from tests.support.waiting import settled

FILES = 6
PARTS = "bytes=5-999999,3000000-3999999,1500000-1500099"


@pytest.fixture(scope="module")
def files(service: Running) -> list[tuple[str, bytes]]:
    """Files of 5 MB, and each as it is when nobody else reads."""
    found = []
    for seed in range(FILES):
        (link,) = service.issue(mlp(seed, hidden=40_000)).json()["links"]["files"].values()
        found.append((link, service.http.get(link).content))
    return found


class Reader:
    """A connection that takes little at a time, by a buffer that holds little."""

    def __init__(self, port: int, random: Random | None = None) -> None:
        self._random = random
        self._read = b""
        self._socket = socket.socket()
        self._socket.settimeout(60)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        self._socket.connect(("127.0.0.1", port))

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, *requests: tuple[str, str]) -> None:
        """Sends requests, all at once, for ranges of paths."""
        lines = (
            f"GET {path} HTTP/1.1\r\nHost: x\r\nRange: {asked}\r\n\r\n" for path, asked in requests
        )
        self._socket.sendall("".join(lines).encode())

    def answers(self, count: int) -> Iterator[bytes]:
        """The bodies of the next answers."""
        for _ in range(count):
            while b"\r\n\r\n" not in self._read:
                self.more()
            head, _, self._read = self._read.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            body = bytearray(self._read)
            length = int(fields[b"content-length"])
            while len(body) < length:
                self._read = b""
                self.more()
                body += self._read
            self._read = bytes(body[length:])
            yield bytes(body[:length])

    def more(self) -> None:
        if self._random is not None and self._random.random() < 0.1:
            time.sleep(self._random.choice([0.0, 0.002, 0.02]))
        data = self._socket.recv(1 << 16)
        assert data, "the connection was closed"
        self._read += data


def whole(content: bytes) -> str:
    return f"bytes=0-{len(content) - 1}"


def test_slow_readers_get_their_bytes_while_buffers_are_used_again(
    service: Running, files: list[tuple[str, bytes]]
) -> None:
    parts = {link: service.http.get(link, headers={"Range": PARTS}).content for link, _ in files}
    reading = threading.Event()

    def slowly(number: int) -> None:
        link, content = files[number]
        other, expected = files[number - 1][0], parts[files[number - 1][0]]
        with Reader(service.port, Random(number)) as reader:
            reader.ask((link, whole(content)), (other, PARTS), (link, whole(content)))
            for body, wanted in zip(reader.answers(3), (content, expected, content), strict=True):
                assert hashlib.sha256(body).digest() == hashlib.sha256(wanted).digest()

    def quickly(number: int) -> None:
        random = Random(number)
        with httpx.Client(base_url=service.url, timeout=60, trust_env=False) as http:
            while not reading.is_set():
                link, content = random.choice(files)
                first = random.randrange(len(content))
                last = first + random.choice([10, 100_000, 2_000_000])
                got = http.get(link, headers={"Range": f"bytes={first}-{last}"})
                assert got.content == content[first : last + 1]
                with Reader(service.port) as leaving:  # After a few bytes.
                    leaving.ask((link, "bytes=0-"))
                    leaving.more()

    with ThreadPoolExecutor(FILES + 2) as clients:
        quick = [clients.submit(quickly, number) for number in range(2)]
        slow = [clients.submit(slowly, number) for number in range(FILES)]
        try:
            for done in slow:
                done.result()
        finally:
            reading.set()
        for done in quick:
            done.result()


def test_little_is_made_for_those_who_read_nothing_and_others_get_theirs(
    start: Callable[..., Running],
) -> None:
    service = start(shared_ahead_bytes=1 << 20, look_ahead_chunks=4)
    (link,) = service.issue(FOREVER | {"max_shard_size": "900TB"}).json()["links"]["files"].values()
    (small,) = service.issue(mlp(1, hidden=400_000)).json()["links"]["files"].values()
    content = service.http.get(small).content
    silent = 40
    before = service.metric("seedpoint_generated_elements_total")

    def made() -> float:
        return 4 * (service.metric("seedpoint_generated_elements_total") - before)

    with ExitStack() as readers:
        for _ in range(silent):
            readers.enter_context(Reader(service.port)).ask((link, "bytes=12345678-"))
        settled(made)
        # What is ahead, what the transport has, and what fits into the socket's two buffers.
        assert made() <= silent * ((4 + 1) * FIRST_BYTES + (2 << 20))
        assert service.http.get(small).content == content
        assert service.http.get("/healthz").status_code == 200
