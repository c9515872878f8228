"""Large documents in transfer: one buffer for all who read the same, and a budget for all."""

from __future__ import annotations

from weakref import WeakValueDictionary, finalize

from seedpoint.service.concurrency.budget import Budget

LARGE_BYTES = 1 << 20  # Smaller documents are sent too quickly to be worth sharing.
TOTAL_BYTES = 256 << 20  # Limit of all shared documents together.
FULL = "too many large responses are in progress; retry later"

Key = tuple[str, str]


class SharedDocuments:
    """Documents of checkpoints in transfer, by id and name. Belongs to one event loop.

    A document is shared while any response holds the view that `share` returned; a response
    holds it until it is sent. The document is in memory once, however many clients read it
    and however slowly. The documents of one checkpoint alone may exceed the `budget`.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget(TOTAL_BYTES)
        self._views: WeakValueDictionary[Key, memoryview] = WeakValueDictionary()

    def get(self, id_: str, name: str) -> memoryview | None:
        """Return the document if a response is sending it, else None."""
        return self._views.get((id_, name))

    def share(self, id_: str, name: str, content: bytes | memoryview) -> memoryview:
        """Return a shared view of `content`: that of another response if one is sending it.

        Raises: Busy, if documents of other checkpoints leave no room for it.
        """
        if (shared := self.get(id_, name)) is not None:
            return shared
        view = memoryview(content)
        if len(content) >= LARGE_BYTES:
            reservation = self.budget.reserve(len(content), FULL, owner=id_)
            finalize(view, reservation.release).atexit = False
            self._views[id_, name] = view
        return view
