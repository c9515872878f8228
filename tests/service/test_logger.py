"""Log lines where structlog is not installed."""

from __future__ import annotations

import logging
import sys

import pytest

from seedpoint.service.logger import get_logger


def test_without_structlog_lines_go_to_the_standard_library(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "structlog", None)
    log = get_logger("seedpoint.trial")
    with caplog.at_level(logging.INFO):
        log.info("swept", files=3)
        log.warning("late", seconds=2)
        log.error("gone", path="a")
        try:
            raise OSError("no room")
        except OSError:
            log.exception("full")
    assert [record.getMessage() for record in caplog.records] == [
        "swept {'files': 3}",
        "late {'seconds': 2}",
        "gone {'path': 'a'}",
        "full {}",
    ]
    assert "no room" in caplog.text
