"""Parser of a connection's requests that never leaves HTTP/1.1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httptools

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Parser:
    """HTTP/1.1 request parser that ignores `Upgrade` and refuses `CONNECT`.

    A server may ignore `Upgrade` (RFC 9110, section 7.8). httptools hands all bytes after the
    head of an upgrade request to the other protocol: the body would be lost, or be parsed as the
    next request. This parser therefore parses the head again without the `Upgrade` field.

    The connection's `on_headers_complete` and `on_message_complete` are called in the first
    pass too, with `should_upgrade()` true.
    """

    def __init__(self, connection: HttpToolsProtocol) -> None:
        self._connection = connection
        self._parser = self._new()

    def _new(self) -> Any:
        parser = httptools.HttpRequestParser(self._connection)
        # Answer the last request even if more data is pipelined after it.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> None:
        """Parse `data`, the next bytes of the connection.

        Raises: httptools.HttpParserError.
        """
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
            raise httptools.HttpParserError("the service does not open tunnels")
        version = self._parser.get_http_version().encode()
        kept = [field for field in self._connection.headers if field[0] != b"upgrade"]
        fields = b"".join(b"%b: %b\r\n" % field for field in kept)
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self._connection.url, version, fields)
