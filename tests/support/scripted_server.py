"""HTTP server whose connections end as a test says: answered, cut within the answer, or dropped."""

from __future__ import annotations

import re
import socket
import threading
from types import TracebackType

DROPPED = b""


class ScriptedServer:
    """Server that gives one answer, as raw bytes, to each connection, and then closes it.

    The last answer is repeated. `requests` are the methods and targets that arrived.
    """

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.requests: list[str] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(60)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with client:
                self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        head, _, body = b"", b"", b""
        while b"\r\n\r\n" not in head:
            if not (data := client.recv(1 << 16)):
                return
            head += data
        head, _, body = head.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        left = int(length[1]) - len(body) if length else 0
        while left > 0 and (data := client.recv(1 << 16)):
            left -= len(data)
        self.requests.append(b" ".join(head.split(b" ")[:2]).decode())
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        client.sendall(answer)


def answer(status: str, body: bytes = b"", *, length: int | None = None, **headers: str) -> bytes:
    """Return an answer; with `length`, its body ends before or behind its Content-Length."""
    fields = {"Content-Length": str(len(body) if length is None else length)} | headers
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body
