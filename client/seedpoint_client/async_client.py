"""Asynchronous client of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx

from seedpoint_client.checkpoint import Checkpoint
from seedpoint_client.client import TIMEOUT_SECONDS
from seedpoint_client.flows import download
from seedpoint_client.flows.drivers import AsyncDriver
from seedpoint_client.flows.progress import Report
from seedpoint_client.flows.retry import Retry
from seedpoint_client.flows.routes import Routes, Subject
from seedpoint_client.slices import Index
from seedpoint_client.types import Issued, Spec, Statistics

if TYPE_CHECKING:
    import torch

    from seedpoint_client.loading.match import LoadedKeys, Via


class AsyncClient:
    """`Client` with asynchronous methods, which take the same arguments and raise the same errors.

    An asynchronous context manager for asyncio and trio. Files are written, and values computed,
    in threads. Its checkpoints have no `client` of their own.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: httpx.Auth | tuple[str, str] | None = None,
        timeout: float | httpx.Timeout | None = TIMEOUT_SECONDS,
        retries: int = 5,
        patience_seconds: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=url, headers=headers, auth=auth, timeout=timeout, transport=transport
        )
        self._driver = AsyncDriver(self._http)
        self._routes = Routes.of(Retry(retries, patience_seconds), self._http.timeout)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def wait_until_ready(self, *, timeout_seconds: float = 120.0) -> None:
        """Wait until the service can issue checkpoints. Raises TimeoutError."""
        flow = self._routes.wait_until_ready(self._http.base_url, timeout_seconds)
        await self._driver.run(flow)

    async def issue(
        self, spec: Spec | Mapping[str, Any], *, statistics: bool = False
    ) -> Checkpoint:
        """Issue the checkpoint of a spec. Raises Problem if it cannot be issued."""
        return await self._driver.run(self._routes.issue(spec, statistics=statistics))

    async def get(self, id: str) -> Checkpoint:
        """Return an issued checkpoint. Raises Problem (404) for an unknown id."""
        return await self._driver.run(self._routes.get(id))

    async def list(self, *, page_size: int | None = None) -> AsyncIterator[Issued]:
        """Yield the issued checkpoints, newest first; each page is requested when it is reached."""
        cursor = None
        while True:
            page = await self._driver.run(self._routes.page(page_size, cursor))
            for issued in page["checkpoints"]:
                yield issued
            if (cursor := page["next"]) is None:
                return

    async def plan(self, checkpoint: Subject) -> bytes:
        """Return the canonical plan; its SHA-256 is the id. Raises Problem, DigestMismatch."""
        return await self._driver.run(self._routes.plan(checkpoint))

    async def statistics(
        self, checkpoint: Subject, *, timeout_seconds: float = 600.0
    ) -> Statistics:
        """Return a checkpoint's statistics once they are computed. Raises Problem, TimeoutError."""
        return await self._driver.run(self._routes.statistics(checkpoint, timeout_seconds))

    async def sha256(
        self, checkpoint: Subject, file: str, *, timeout_seconds: float = 600.0
    ) -> str:
        """Return a file's SHA-256 (hex), computed by the service. Raises Problem, TimeoutError."""
        return await self._driver.run(self._routes.sha256(checkpoint, file, timeout_seconds))

    async def download(
        self,
        checkpoint: Subject,
        directory: str | Path,
        *,
        files: Collection[str] | None = None,
        verify: bool = False,
        ranges: int = 1,
        progress: Report | None = None,
    ) -> download.Paths:
        """Download files into `directory`, each whole or absent. See `Client.download`."""
        options = download.Options(Path(directory), files, verify, ranges, progress)
        return await self._driver.run(self._routes.download(checkpoint, options))

    async def tensor(self, checkpoint: Subject, name: str, slice: Index = "") -> bytes:
        """Return a tensor, or a slice of it, as the bytes of a small safetensors file."""
        return await self._driver.run(self._routes.tensor(checkpoint, name, slice))

    async def buffers(self, checkpoint: Subject) -> dict[str, torch.Tensor]:
        """Return the buffers that no state dict holds. See `Client.buffers`."""
        from seedpoint_client.loading import load

        return await self._driver.run(load.buffers(self._routes, checkpoint))

    async def state_dict(
        self, checkpoint: Subject, *, device: torch.device | str = "cpu", via: Via = "auto"
    ) -> dict[str, torch.Tensor]:
        """Return all tensors of a checkpoint by name. See `Client.state_dict`."""
        from seedpoint_client.loading import load

        return await self._driver.run(load.state_dict(self._routes, checkpoint, device, via))

    async def load_into(
        self,
        module: torch.nn.Module,
        checkpoint: Subject,
        *,
        strict: bool = True,
        device: torch.device | str | None = None,
        buffers: bool = True,
        via: Via = "auto",
    ) -> LoadedKeys:
        """Fill a module with a checkpoint's values, in place. See `Client.load_into`."""
        from seedpoint_client.loading import load
        from seedpoint_client.loading.match import Options

        options = Options(strict, device, buffers, via)
        return await self._driver.run(load.load_into(self._routes, checkpoint, module, options))
