"""Settings of the service: `SEEDPOINT_<NAME>` in the environment, or flags of the CLI."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from seedpoint.service.devices import Device

# A path that cannot lead elsewhere: no `//`, no `..`, no characters to be quoted.
PREFIX = r"^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?$"
MAX_PREFIX_CHARACTERS = 200

MIB = 1 << 20
GIB = 1 << 30


class Settings(BaseSettings):
    """Settings that an operator can choose; names include the units."""

    model_config = SettingsConfigDict(env_prefix="SEEDPOINT_", frozen=True, extra="ignore")

    # Network
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(
        8000, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one."
    )
    workers: int = Field(
        1,
        ge=1,
        description="Server processes that share the address and the store; each has its own "
        "threads, worker processes and caches.",
    )
    max_connections: int = Field(
        4096,
        ge=1,
        description="Most open connections of each process; further ones wait in the kernel's "
        "backlog. A lower limit of open files reduces it.",
    )
    write_timeout_seconds: float = Field(
        60.0,
        gt=0,
        description="A client that accepts no byte of a response for this long is disconnected; a "
        "reader of 10 kB/s or more is not.",
    )
    root_path: str | None = Field(
        None,
        description="Path under which a proxy offers the service, for example `/seedpoint`. The "
        "proxy removes it from requests; every link includes it.",
    )
    forwarded_allow_ips: str = Field(
        "127.0.0.1",
        description="Proxies whose `X-Forwarded-Proto`, `-For` and `-Prefix` are trusted: "
        "addresses and networks, separated by commas, or `*` for all.",
    )
    shutdown_seconds: int = Field(
        20, ge=0, description="Time for responses in progress to finish at a shutdown."
    )

    # Store and caches
    store: Path = Field(
        Path(".seedpoint"),
        description="Directory of the plan store. Several processes may share it.",
    )
    store_max_age_seconds: float | None = Field(
        None,
        gt=0,
        description="Files that are unused for this long are removed from the store, and an id is "
        "removed with its plan. By default an issued id is kept forever.",
    )
    store_max_bytes: int | None = Field(
        None,
        ge=1,
        description="When the store is larger than this, the longest unused files are removed: "
        "statistics and tensors of generators `torch` and `numpy` first, then plans with their "
        "ids. These tensors can be made again only on the platform that made them.",
    )
    cache_max_bytes: int = Field(
        GIB,
        ge=0,
        description="Total size of the statistics and digests kept in the store.",
    )
    cached_tensors: int = Field(
        50_000,
        ge=1,
        description="Total number of tensors in the parsed plans kept in memory.",
    )
    page_size: int = Field(
        50, ge=1, le=1000, description="Default number of entries on a page of GET /v1/checkpoints."
    )

    # Limits of specs
    max_body_bytes: int = Field(
        16 * MIB, ge=1, description="Longest request body; a longer one is refused with 413."
    )
    max_modules: int = Field(
        100_000,
        ge=1,
        description="Most modules of an architecture; a larger one is refused with 422.",
    )
    max_tensors: int = Field(
        100_000,
        ge=1,
        description="Most tensors of an architecture; a larger one is refused with 422.",
    )
    max_plan_bytes: int = Field(
        24 * MIB,
        ge=1,
        le=32 * MIB,  # Always fits into the header of a safetensors file.
        description="Largest plan; a spec with a larger one is refused with 422.",
    )
    build_workers: int = Field(2, ge=1, description="Worker processes that turn specs into plans.")
    build_queue: int = Field(
        256,
        ge=0,
        description="Requests that may wait for a free worker; further ones are refused with 503.",
    )
    large_build_workers: int = Field(
        1,
        ge=1,
        description="Additional worker processes, for specs that prove to be large or slow.",
    )
    large_build_queue: int = Field(
        8,
        ge=0,
        description="Requests that may wait for a worker for large specs; further ones are refused "
        "with 503.",
    )
    build_timeout_seconds: float = Field(
        60.0, gt=0, description="Longest time to plan a spec; a slower one is refused with 422."
    )
    build_memory_bytes: int = Field(
        2 * GIB,
        ge=64 * MIB,
        description="Most memory to plan a spec; one that needs more is refused with 422.",
    )
    recorded_tensors: int = Field(
        20_000,
        ge=0,
        description="Total number of tensors and modules in the latest architectures that each "
        "worker keeps, so that it need not build them again for other seeds and rules.",
    )
    max_materialized_bytes: int = Field(
        4 * GIB,
        ge=0,
        description="Largest checkpoint of generator `torch` or `numpy`; these are kept on disk.",
    )

    blob_bytes: int = Field(
        64 * GIB,
        ge=0,
        description="Total size of the blobs (`PUT /v1/blobs/{sha256}`) kept on disk. A larger one "
        "is refused with 413. For the room of another, the longest unused blobs that no plan names "
        "are removed; if that is not enough, it is refused with 507.",
    )
    spool_bytes: int = Field(
        8 * GIB,
        ge=0,
        description="Total size of the whole tensors (`orthogonal`, `sparse`) kept on disk, in the "
        "directory of the plan store.",
    )
    whole_queue: int = Field(
        32,
        ge=0,
        description="Large whole tensors that may be computed or wait for it; a request that needs "
        "another one is refused with 503.",
    )

    # Generation and statistics
    device: Device = Field(
        "auto", description="Device that generates elements; `auto` takes a GPU if there is one."
    )
    threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="Threads that generate elements; the number of CPUs by default.",
    )
    pin_threads: bool = Field(
        True,
        description="Keep each of these threads on one CPU (Linux): faster when few CPUs are idle.",
    )
    chunk_bytes: int = Field(
        8 * MIB, ge=4096, description="Most bytes of a response generated at a time."
    )
    look_ahead_chunks: int = Field(
        4, ge=2, description="Most chunks of one response generated ahead of its socket."
    )
    shared_ahead_bytes: int = Field(
        64 * MIB,
        ge=0,
        description="Most bytes generated ahead for all responses together; more responses have "
        "smaller chunks (256 KiB at least).",
    )
    statistics_wait_seconds: float = Field(
        5.0,
        ge=0,
        description="Time that POST waits for statistics before it answers 202 without them.",
    )
    statistics_at_once: int = Field(
        2,
        ge=1,
        description="Concurrent computations of statistics and digests: the smallest, and the "
        "oldest. They give way to files that are being sent.",
    )
    statistics_queue: int = Field(
        16,
        ge=0,
        description="Computations of statistics of large checkpoints that may wait, and as many of "
        "digests; further ones are not begun.",
    )
    statistics_lease_seconds: float = Field(
        600.0,
        gt=0,
        description="A computation of statistics or digests is abandoned after this time without a "
        "request for it; a later request starts it again.",
    )
    unasked_statistics_bytes: int = Field(
        64 * GIB,
        ge=0,
        description="Largest checkpoint whose statistics POST begins; those of a larger one are "
        "begun by a request to their link.",
    )
    digest_wait_seconds: float = Field(
        5.0,
        ge=0,
        description="Time that a request for a digest waits before it is answered without one.",
    )
    unasked_digest_bytes: int = Field(
        64 * MIB,
        ge=0,
        description="Largest checkpoint whose statistics include SHA-256 digests.",
    )
    max_json_elements: int = Field(
        100_000, ge=0, description="Largest tensor slice, in elements, that is returned as JSON."
    )

    # Log
    log_format: Literal["console", "json"] = Field(
        "console", description="Log lines for people or for machines."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest severity of the log lines that are written."
    )

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, path: str | None) -> str | None:
        if path is None:
            return None
        if len(path) > MAX_PREFIX_CHARACTERS or not re.fullmatch(PREFIX, path):
            raise ValueError("must be a path of letters, digits and -._~, as /seedpoint")
        return path.rstrip("/")

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _check_forwarded_allow_ips(cls, proxies: str) -> str:
        if proxies.strip() == "*":
            return "*"
        for proxy in filter(None, map(str.strip, proxies.split(","))):
            try:
                ipaddress.ip_network(proxy)
            except ValueError as error:
                raise ValueError(f"must be addresses and networks, or `*`: {error}") from None
        return proxies
