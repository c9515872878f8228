"""Checkpoint that a service has issued."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from seedpoint_client.client import Client
    from seedpoint_client.types import Resource


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An issued checkpoint: its id and the whole resource as the service describes it.

    A `Client` gives its checkpoints itself as their `client`. They then are a `source` of
    `seedpoint.load_into`, which asks them for their `plan` and `buffers`.
    """

    id: str
    resource: Resource
    client: Client | None = field(default=None, repr=False, compare=False)

    @property
    def files(self) -> Mapping[str, str]:
        """Path of each file on the service, by name."""
        return self.resource["links"]["files"]

    def plan(self) -> bytes:
        """Return the canonical plan, as `Client.plan` does."""
        return self._client().plan(self)

    def buffers(self) -> dict[str, torch.Tensor]:
        """Return the buffers that no state dict holds, as `Client.buffers` does."""
        return self._client().buffers(self)

    def _client(self) -> Client:
        if self.client is None:
            raise ValueError(
                f"checkpoint {self.id[:12]} has no client to ask; call the method of a client, "
                "such as client.plan(checkpoint)"
            )
        return self.client

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, self.resource)  # A connection cannot be pickled.
