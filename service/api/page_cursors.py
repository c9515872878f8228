"""Cursors of the pages of the checkpoint list, opaque to clients."""

from __future__ import annotations

import base64
import binascii

from seedpoint.service.errors import InvalidParameter
from seedpoint.service.storage.checkpoint_store import Issued


def encode(last: Issued) -> str:
    """Return the cursor of the page after the one that ends with `last`."""
    return base64.urlsafe_b64encode(f"{last.created_ns}:{last.id}".encode()).decode()


def decode(cursor: str) -> Issued:
    """Return the `last` of a cursor that `encode` returned. Raises InvalidParameter."""
    try:
        created, id_ = base64.urlsafe_b64decode(cursor.encode()).decode("ascii").split(":")
        return Issued(int(created), id_)
    except (ValueError, binascii.Error):
        message = f"{cursor!r} is not a cursor; use `next` of the previous page"
        raise InvalidParameter(message, path="query.cursor") from None
