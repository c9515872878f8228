"""The parser of a connection's requests, none of which leaves HTTP/1.1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httptools

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Parser:
    """Reads a request that asks for another protocol as one that does not.

    A server may ignore `Upgrade` (RFC 9110, section 7.8). The parser beneath takes what follows
    the head of such a request for the other protocol's: its body would be lost, or be taken for
    the next request. So its head is parsed again without that field. There are no tunnels.

    The connection's `on_headers_complete` and `on_message_complete` are called for the first
    reading too, with `should_upgrade()` true.
    """

    def __init__(self, connection: HttpToolsProtocol) -> None:
        self._connection = connection
        self._parser = self._new()

    def _new(self) -> Any:
        parser = httptools.HttpRequestParser(self._connection)
        # What is pipelined after the last request is no reason not to answer that.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> None:
        """Raises httptools.HttpParserError."""
        rest = memoryview(data)
        while rest:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
                head = self._head_without_upgrade()
                self._parser = self._new()
                self._parser.feed_data(head)
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        method = self._parser.get_method()
        if method == b"CONNECT":
            raise httptools.HttpParserError("there are no tunnels")
        version = self._parser.get_http_version().encode()
        kept = [field for field in self._connection.headers if field[0] != b"upgrade"]
        fields = b"".join(b"%b: %b\r\n" % field for field in kept)
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self._connection.url, version, fields)
