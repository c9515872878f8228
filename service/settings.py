"""The service's settings: `SEEDPOINT_<NAME>` in the environment, or the CLI's flags."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# A path without what could lead elsewhere: no `//`, no `..`, nothing to be quoted.
PREFIX = r"^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?$"
MAX_PREFIX_CHARACTERS = 200

MIB = 1 << 20
GIB = 1 << 30


class Settings(BaseSettings):
    """Everything an operator can set; units are in the names."""

    model_config = SettingsConfigDict(env_prefix="SEEDPOINT_", frozen=True, extra="ignore")

    # Where it listens
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(
        8000, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one."
    )
    workers: int = Field(
        1,
        ge=1,
        description="Processes that answer at this address and share the store, each with its own "
        "threads, worker processes and caches.",
    )
    max_connections: int = Field(
        4096,
        ge=1,
        description="Connections that each process has open at once; further ones wait in the "
        "kernel's backlog. Fewer when the limit of open files allows no more.",
    )
    write_timeout_seconds: float = Field(
        60.0,
        gt=0,
        description="A client that takes no byte of what is sent for so long is cut; one that "
        "reads slowly is not.",
    )
    root_path: str | None = Field(
        None,
        description="Path under which a proxy offers the service, such as `/seedpoint`. The proxy "
        "removes it from requests; every link has it.",
    )
    forwarded_allow_ips: str = Field(
        "127.0.0.1",
        description="Proxies whose `X-Forwarded-Proto`, `-For` and `-Prefix` are believed: "
        "addresses and networks, separated by commas, or `*` for all.",
    )
    shutdown_seconds: int = Field(
        20, ge=0, description="How long bodies may go on being sent once it is told to stop."
    )

    # What it keeps
    store: Path = Field(
        Path(".seedpoint"),
        description="Directory of the plan store. Several processes may share it.",
    )
    store_max_age_seconds: float | None = Field(
        None,
        gt=0,
        description="What nobody has used for so long is removed from the store, and an id with "
        "its plan; by default an issued id is kept for ever.",
    )
    store_max_bytes: int | None = Field(
        None,
        ge=1,
        description="When the store is larger than this, what was longest unused is removed: "
        "tensors of generators `torch` and `numpy` and statistics first, then plans with their "
        "ids. Such tensors can be made again only on the platform that made them.",
    )
    cache_max_bytes: int = Field(
        GIB,
        ge=0,
        description="Statistics and digests are kept in the store up to this size in all.",
    )
    cached_tensors: int = Field(
        50_000,
        ge=1,
        description="Parsed plans are kept in memory up to this many tensors in all.",
    )
    page_size: int = Field(
        50, ge=1, le=1000, description="Entries on a page of GET /v1/checkpoints by default."
    )

    # What a spec may ask
    max_body_bytes: int = Field(
        16 * MIB, ge=1, description="A longer request body is refused with 413."
    )
    max_modules: int = Field(
        100_000, ge=1, description="An architecture of more modules is refused with 422."
    )
    max_tensors: int = Field(
        100_000, ge=1, description="An architecture of more tensors is refused with 422."
    )
    max_plan_bytes: int = Field(
        24 * MIB,
        ge=1,
        le=32 * MIB,  # What always fits into the header of a safetensors file.
        description="A spec whose plan takes more is refused with 422.",
    )
    build_workers: int = Field(2, ge=1, description="Worker processes that turn specs into plans.")
    build_queue: int = Field(
        256,
        ge=0,
        description="Requests that may wait for a free worker; one more is refused with 503.",
    )
    large_build_workers: int = Field(
        1,
        ge=1,
        description="Worker processes besides, for specs that prove to be large or slow.",
    )
    large_build_queue: int = Field(
        8,
        ge=0,
        description="Requests that may wait for one of those; one more is refused with 503.",
    )
    build_timeout_seconds: float = Field(
        60.0, gt=0, description="A spec that takes longer to plan is refused with 422."
    )
    build_memory_bytes: int = Field(
        2 * GIB,
        ge=64 * MIB,
        description="A spec that takes more memory to plan is refused with 422.",
    )
    recorded_tensors: int = Field(
        20_000,
        ge=0,
        description="Each worker keeps the latest architectures it has built, up to this many "
        "tensors and modules in all, so that only their seeds and rules are new.",
    )
    max_materialized_bytes: int = Field(
        4 * GIB,
        ge=0,
        description="Largest checkpoint of generator `torch` or `numpy`, which is kept on disk.",
    )

    spool_bytes: int = Field(
        8 * GIB,
        ge=0,
        description="Tensors that are computed as a whole (`orthogonal`, `sparse`) are kept on "
        "disk up to this size in all, in the directory of the plan store.",
    )
    whole_queue: int = Field(
        32,
        ge=0,
        description="Such tensors that may be computed or wait for it, if they are large, when "
        "a request needs another, which is then refused with 503.",
    )

    # How it generates
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where elements are generated; `auto` takes a GPU when there is one."
    )
    threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="Threads that generate elements; the number of CPUs by default.",
    )
    pin_threads: bool = Field(
        True,
        description="Each of these threads keeps to one CPU (Linux): faster when idle CPUs "
        "are few.",
    )
    chunk_bytes: int = Field(
        8 * MIB, ge=4096, description="Most bytes generated at a time for the body of a response."
    )
    look_ahead_chunks: int = Field(
        4, ge=2, description="Chunks that one response may have generated ahead of its socket."
    )
    shared_ahead_bytes: int = Field(
        64 * MIB,
        ge=0,
        description="Bytes that all responses together may have generated ahead: the more of "
        "them there are, the smaller are their chunks (256 KiB at least).",
    )
    statistics_wait_seconds: float = Field(
        5.0,
        ge=0,
        description="POST waits this long for statistics before it answers 202 without them.",
    )
    statistics_at_once: int = Field(
        2,
        ge=1,
        description="Computations of statistics and digests that go on at once: the smallest, "
        "and the oldest. They give way to files that are being sent.",
    )
    statistics_queue: int = Field(
        16,
        ge=0,
        description="Computations of statistics, and as many of digests, of large checkpoints "
        "that may wait for their turn; further ones are not begun.",
    )
    statistics_lease_seconds: float = Field(
        600.0,
        gt=0,
        description="Statistics and digests that are being computed are given up when nobody has "
        "asked for them for so long; who asks later has them begun anew.",
    )
    unasked_statistics_bytes: int = Field(
        64 * GIB,
        ge=0,
        description="POST begins the statistics of checkpoints up to this size; those of larger "
        "ones are begun when their link is asked for them.",
    )
    digest_wait_seconds: float = Field(
        5.0,
        ge=0,
        description="A request that asks for a digest waits this long before it goes without.",
    )
    unasked_digest_bytes: int = Field(
        64 * MIB,
        ge=0,
        description="Checkpoints up to this size have SHA-256 digests in their statistics.",
    )
    max_json_elements: int = Field(
        100_000, ge=0, description="Most elements of a tensor slice that are given as JSON."
    )

    # What it tells
    log_format: Literal["console", "json"] = Field(
        "console", description="Log lines for people or for machines."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe log lines that are written."
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
