"""Blobs: safetensors files, named by their SHA-256, from which tensors take their elements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from seedpoint.models.dtypes import BY_NAME, DType
from seedpoint.models.plan.blob import Blob

ByteArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class BlobTensor:
    """Tensor in a blob: its elements begin at byte `offset` of the file."""

    dtype: DType
    shape: tuple[int, ...]
    offset: int


class Blobs(Protocol):
    """Blobs at hand, by their SHA-256 (lower-case hex). Methods are thread-safe."""

    def tensors(self, sha256: str) -> Mapping[str, BlobTensor]:
        """Return the tensors of a blob by name, in the order of their bytes.

        Raises:
            ValueError: The blob is missing, or not a safetensors file; the message says what to do.
        """

    def read(self, sha256: str, offset: int, out: ByteArray) -> None:
        """Fill `out` with bytes of the blob from `offset` on; no others are read.

        The errors of a blob that has gone, or is damaged or shorter, are the implementation's own.
        """


class NoBlobs:
    """Blobs of a caller who gives none."""

    def tensors(self, sha256: str) -> Mapping[str, BlobTensor]:
        raise ValueError(f"no blob {sha256} is given")

    def read(self, sha256: str, offset: int, out: ByteArray) -> None:
        raise FileNotFoundError(f"no blob {sha256} is given")


NO_BLOBS = NoBlobs()


def elements(blobs: Blobs, source: Blob, start: int, stop: int) -> torch.Tensor:
    """Return elements [start, stop) of `source` as a vector of its own dtype, on the CPU."""
    dtype: DType = BY_NAME[source.dtype]
    raw: npt.NDArray[Any] = np.empty((stop - start) * dtype.itemsize, np.uint8)
    if len(raw):
        blobs.read(source.sha256, source.offset + start * dtype.itemsize, raw)
    return torch.from_numpy(raw).view(dtype.torch)
