"""Blocks of materialized tensors that threads keep in memory."""

from __future__ import annotations

import pytest

from seedpoint.service.storage import checksums


def forget_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every thread read its next block from the store."""
    monkeypatch.setattr(checksums, "latest", checksums.LatestBlock())
