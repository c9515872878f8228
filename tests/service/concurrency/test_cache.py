"""Cache of the latest used values: the bounds of cachetools, but the latest value always stays."""

from __future__ import annotations

import pytest
from cachetools import LRUCache

from seedpoint.service.concurrency.cache import LatestCache


def test_the_least_recently_used_go_first() -> None:
    cache: LatestCache[str, str] = LatestCache(6, len)
    cache["a"], cache["b"] = "xxx", "xx"
    assert cache.get("a") == "xxx"
    cache["c"] = "xx"
    assert set(cache) == {"a", "c"}
    assert cache.currsize == 5


def test_a_value_that_exceeds_the_capacity_alone_is_kept_until_the_next() -> None:
    cache: LatestCache[str, str] = LatestCache(3, len)
    cache["a"] = "x"
    cache["b"] = "xxxxxxxx"
    assert dict(cache) == {"b": "xxxxxxxx"}
    cache["b"] = "yyyyyyyy"
    assert dict(cache) == {"b": "yyyyyyyy"}
    cache["c"] = "x"
    assert dict(cache) == {"c": "x"}


def test_a_cache_without_capacity_keeps_only_the_latest() -> None:
    cache: LatestCache[str, str] = LatestCache(0, len)
    cache["a"], cache["b"] = "x", "xx"
    assert dict(cache) == {"b": "xx"}


def test_cachetools_alone_would_refuse_it() -> None:
    cache: LRUCache[str, str] = LRUCache(3, len)
    with pytest.raises(ValueError, match="value too large"):
        cache["a"] = "xxxxxxxx"
