"""Client of the service."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx

from seedpoint_client.checkpoint import Checkpoint
from seedpoint_client.flows import download
from seedpoint_client.flows.drivers import Driver
from seedpoint_client.flows.progress import Report
from seedpoint_client.flows.retry import Retry
from seedpoint_client.flows.routes import Routes, Subject
from seedpoint_client.slices import Index
from seedpoint_client.types import Issued, Spec, Statistics

if TYPE_CHECKING:
    import torch

    from seedpoint_client.loading.match import LoadedKeys, Via

TIMEOUT_SECONDS = 60.0


class Client:
    """Connection to the service at `url`; a context manager. Threads may share it.

    Every method that takes a checkpoint also takes its id.

    Args:
        url: Address of the service, with the prefix that it has behind a proxy.
        headers: Headers of every request.
        auth: Authentication, as httpx takes it: a pair of name and password, or an `httpx.Auth`.
        timeout: Longest silence of the service in seconds, or an `httpx.Timeout`.
        retries: Further attempts in a row after a broken connection, with growing pauses. A POST
            whose answer has begun is not repeated.
        patience_seconds: Time for which requests are repeated that the service is too busy for
            (503 and 429, with `Retry-After`).
        transport: Transport in place of the one that httpx would make.
        timeout_seconds: Older name of `timeout`.
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
        transport: httpx.BaseTransport | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        timeout = timeout if timeout_seconds is None else timeout_seconds
        self._http = httpx.Client(
            base_url=url, headers=headers, auth=auth, timeout=timeout, transport=transport
        )
        self._driver = Driver(self._http)
        self._routes = Routes.of(Retry(retries, patience_seconds), self._http.timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def wait_until_ready(self, *, timeout_seconds: float = 120.0) -> None:
        """Wait until the service can issue checkpoints. Raises TimeoutError."""
        flow = self._routes.wait_until_ready(self._http.base_url, timeout_seconds)
        self._driver.run(flow)

    def issue(self, spec: Spec | Mapping[str, Any], *, statistics: bool = False) -> Checkpoint:
        """Issue the checkpoint of a spec. Raises Problem if it cannot be issued.

        The same spec gives the same checkpoint, so this may be repeated at will.
        """
        return self._own(self._driver.run(self._routes.issue(spec, statistics=statistics)))

    def get(self, id: str) -> Checkpoint:
        """Return an issued checkpoint. Raises Problem (404) for an unknown id."""
        return self._own(self._driver.run(self._routes.get(id)))

    def list(self, *, page_size: int | None = None) -> Iterator[Issued]:
        """Yield the issued checkpoints, newest first; each page is requested when it is reached."""
        cursor = None
        while True:
            page = self._driver.run(self._routes.page(page_size, cursor))
            yield from page["checkpoints"]
            if (cursor := page["next"]) is None:
                return

    def plan(self, checkpoint: Subject) -> bytes:
        """Return the canonical plan, which fixes every byte of a checkpoint.

        Raises Problem, and DigestMismatch if the SHA-256 of the plan is not the checkpoint's id.
        """
        return self._driver.run(self._routes.plan(checkpoint))

    def statistics(self, checkpoint: Subject, *, timeout_seconds: float = 600.0) -> Statistics:
        """Return a checkpoint's statistics once they are computed. Raises Problem, TimeoutError."""
        return self._driver.run(self._routes.statistics(checkpoint, timeout_seconds))

    def sha256(self, checkpoint: Subject, file: str, *, timeout_seconds: float = 600.0) -> str:
        """Return a file's SHA-256 (hex), computed by the service. Raises Problem, TimeoutError."""
        return self._driver.run(self._routes.sha256(checkpoint, file, timeout_seconds))

    def download(
        self,
        checkpoint: Subject,
        directory: str | Path,
        *,
        files: Collection[str] | None = None,
        verify: bool = False,
        ranges: int = 1,
        progress: Report | None = None,
    ) -> download.Paths:
        """Download all files of a checkpoint, or `files`, into `directory`, each whole or absent.

        An interrupted download is kept as `NAME.ETAG.part` and resumed, by this call or by a later
        one: the bytes are the same at any time. A file whose entity tag changes meanwhile raises
        DigestMismatch.

        Args:
            checkpoint: The checkpoint, or its id.
            directory: Directory for the files, made if it is missing.
            files: Names of the files; all by default.
            verify: Compare each file's SHA-256 with the one that the service computes.
            ranges: Ranges of a file that are requested at once, each of 1 MiB or more.
            progress: Function that is called with a `Progress` whenever bytes were written, from
                any thread, one call at a time.

        Raises: Problem, DigestMismatch, httpx.TransportError, OSError.
        """
        options = download.Options(Path(directory), files, verify, ranges, progress)
        return self._driver.run(self._routes.download(checkpoint, options))

    def tensor(self, checkpoint: Subject, name: str, slice: Index = "") -> bytes:
        """Return a tensor, or a slice of it, as the bytes of a small safetensors file.

        A slice is text like `0:128,:`, or the index of an array: integers and slices.
        """
        return self._driver.run(self._routes.tensor(checkpoint, name, slice))

    def buffers(self, checkpoint: Subject) -> dict[str, torch.Tensor]:
        """Return the buffers that no state dict holds, such as rotary frequencies, on the CPU.

        Needs torch and safetensors. Raises Problem (404) for a service that does not give them.
        """
        from seedpoint_client.loading import load

        return self._driver.run(load.buffers(self._routes, checkpoint))

    def state_dict(
        self, checkpoint: Subject, *, device: torch.device | str = "cpu", via: Via = "auto"
    ) -> dict[str, torch.Tensor]:
        """Return all tensors of a checkpoint by name, tied ones as one tensor under each name.

        `via` is that of `load_into`. Needs torch and safetensors.
        """
        from seedpoint_client.loading import load

        return self._driver.run(load.state_dict(self._routes, checkpoint, device, via))

    def load_into(
        self,
        module: torch.nn.Module,
        checkpoint: Subject,
        *,
        strict: bool = True,
        device: torch.device | str | None = None,
        buffers: bool = True,
        via: Via = "auto",
    ) -> LoadedKeys:
        """Fill a module with a checkpoint's values, in place, and return the names left over.

        With the package `seedpoint` installed, only the plan is downloaded, and this process
        computes the values that it holds. Otherwise these are downloaded: whole tensors, and of a
        DTensor no more than its local shard. The values are the same. Needs torch and safetensors.

        Args:
            module: A module; its tensors on `meta` are allocated. Wrappers may be around it, but
                not FSDP1.
            checkpoint: The checkpoint, or its id.
            strict: Refuse a module and a checkpoint of different names.
            device: Device for tensors on `meta`; by default that of a DTensor's mesh, else the CPU.
            buffers: Also set the buffers that no state dict holds.
            via: `plan` computes the values, `http` downloads them, and `auto` computes them where
                that is possible.

        Raises: RuntimeError with every difference if the module does not fit; ImportError if
            `via="plan"` is not possible; Problem, DigestMismatch, httpx.TransportError.
        """
        from seedpoint_client.loading import load
        from seedpoint_client.loading.match import Options

        options = Options(strict, device, buffers, via)
        return self._driver.run(load.load_into(self._routes, checkpoint, module, options))

    def _own(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return the checkpoint with this client, which it asks for its plan."""
        return replace(checkpoint, client=self)
