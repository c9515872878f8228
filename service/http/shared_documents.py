"""Large documents that are being sent: one buffer of each, and a bound on all of them."""

from __future__ import annotations

from weakref import WeakValueDictionary

from seedpoint.service.errors import Busy

LARGE_BYTES = 1 << 20  # Smaller ones are gone as soon as they are sent.
MOST_BYTES = 256 << 20

Key = tuple[str, str]


class Documents:
    """Documents of checkpoints, by id and name. Belongs to one event loop.

    One is shared as long as somebody refers to the very view that `share` gave: answers do
    until they are sent. However many read it, and however slowly, it is in memory once.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._shared: WeakValueDictionary[Key, memoryview] = WeakValueDictionary()

    def get(self, id_: str, name: str) -> memoryview | None:
        """The document, when it is being sent to somebody."""
        return self._shared.get((id_, name))

    def share(self, id_: str, name: str, content: bytes | memoryview) -> memoryview:
        """`content`, or the same as it is being sent to somebody else.

        Raises Busy when so much of other checkpoints is being sent that it finds no room.
        """
        if (found := self.get(id_, name)) is not None:
            return found
        found = memoryview(content)
        if len(content) >= LARGE_BYTES:
            others = sum(len(view) for (id, _), view in self._shared.items() if id != id_)
            if others and others + len(content) > self._most_bytes:
                raise Busy("as many large documents are being sent as may be; ask again later")
            self._shared[id_, name] = found
        return found
