"""The service's settings: `SEEDPOINT_<NAME>` in the environment, or the CLI's flags."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

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
    shutdown_seconds: int = Field(
        20, ge=0, description="How long bodies may go on being sent once it is told to stop."
    )

    # What it keeps
    store: Path = Field(
        Path(".seedpoint"),
        description="Directory of the plan store. Several processes may share it.",
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
    build_workers: int = Field(2, ge=1, description="Worker processes that turn specs into plans.")
    build_queue: int = Field(
        64,
        ge=0,
        description="Requests that may wait for a free worker; one more is refused with 503.",
    )
    build_timeout_seconds: float = Field(
        60.0, gt=0, description="A spec that takes longer to plan is refused with 422."
    )
    max_materialized_bytes: int = Field(
        4 * GIB,
        ge=0,
        description="Largest checkpoint of generator `torch` or `numpy`, which is kept on disk.",
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
    chunk_bytes: int = Field(
        MIB, ge=4096, description="Bytes generated at a time for the body of a response."
    )
    look_ahead_chunks: int = Field(
        3, ge=1, description="Chunks that one response may have generated ahead of its socket."
    )
    statistics_wait_seconds: float = Field(
        5.0,
        ge=0,
        description="POST waits this long for statistics before it answers 202 without them.",
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
