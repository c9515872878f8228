"""Buffers of large documents in transfer: one per document, with a bound on their total."""

from __future__ import annotations

from weakref import WeakValueDictionary

from seedpoint.service.errors import Busy

LARGE_BYTES = 1 << 20  # Smaller documents are sent too quickly to be worth sharing.
MOST_BYTES = 256 << 20  # Limit of all shared documents together.

Key = tuple[str, str]


class Documents:
    """Documents of checkpoints in transfer, by id and name. Belongs to one event loop.

    A document is shared while any response holds the view that `share` returned; a response
    holds it until it is sent. The document is in memory once, however many clients read it
    and however slowly.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._shared: WeakValueDictionary[Key, memoryview] = WeakValueDictionary()

    def get(self, id_: str, name: str) -> memoryview | None:
        """Return the document if a response is sending it, else None."""
        return self._shared.get((id_, name))

    def share(self, id_: str, name: str, content: bytes | memoryview) -> memoryview:
        """Return a shared view of `content`: that of another response if one is sending it.

        Raises: Busy, if documents of other checkpoints leave no room for it.
        """
        if (found := self.get(id_, name)) is not None:
            return found
        found = memoryview(content)
        if len(content) >= LARGE_BYTES:
            others = sum(len(view) for (id, _), view in self._shared.items() if id != id_)
            if others and others + len(content) > self._most_bytes:
                raise Busy("too many large responses are in progress; retry later")
            self._shared[id_, name] = found
        return found
