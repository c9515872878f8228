"""Entries and page cursors of the list of issued checkpoints."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime

from seedpoint.service.errors import InvalidParameter


@dataclass(frozen=True, slots=True, order=True)
class Issued:
    """An issued checkpoint, and when its plan was stored, in nanoseconds since the epoch."""

    created_ns: int
    id: str

    @property
    def created(self) -> datetime:
        return datetime.fromtimestamp(self.created_ns / 1e9, UTC)

    @property
    def cursor(self) -> str:
        """Cursor of the page after the one that ends with this entry; opaque to clients."""
        return base64.urlsafe_b64encode(f"{self.created_ns}:{self.id}".encode()).decode()

    @classmethod
    def at(cls, cursor: str) -> Issued:
        """Return the entry of a `cursor`. Raises InvalidParameter."""
        try:
            created, id_ = base64.urlsafe_b64decode(cursor.encode()).decode("ascii").split(":")
            return cls(int(created), id_)
        except (ValueError, binascii.Error):
            message = f"{cursor!r} is not a cursor; use `next` of the previous page"
            raise InvalidParameter(message, path="query.cursor") from None
