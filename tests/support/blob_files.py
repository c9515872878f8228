"""Blobs for tests: safetensors files, and specs that take `values` from them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from seedpoint.models.files.blobs import BlobTensor, ByteArray
from seedpoint.service.local.blob_files import LocalBlobs


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def rows(count: int = 6, width: int = 3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return a matrix of distinct values, with both signs and a zero."""
    found = torch.arange(count * width, dtype=torch.float64).view(count, width)
    return ((found - 7) / 8).to(dtype)


def by_file(name: str, tensor: str = "emb.weight") -> dict[str, Any]:
    """Return the initializer of a tensor in the blob of this SHA-256."""
    return {"type": "values", "file": {"sha256": name, "tensor": tensor}}


def embedding(initializer: dict[str, Any], shape: tuple[int, int] = (6, 3), **more: Any) -> Any:
    """Return the spec of an embedding filled by `initializer`; `more` stands beside it."""
    dtype = {"dtype": more.pop("dtype")} if "dtype" in more else {}
    init = more.pop("init", {})
    rule = {"match": {"parameter": "weight"}, "initializer": initializer, **more}
    layer = {"type": "Embedding", "num_embeddings": shape[0], "embedding_dim": shape[1]}
    return {"architecture": layer, "init": {"rules": [rule], **init}, **dtype}


def stored(folder: Path, tensors: Mapping[str, torch.Tensor]) -> tuple[str, LocalBlobs]:
    """Return the SHA-256 of a file of these tensors, and the file as a blob."""
    content = save(dict(tensors))
    path = folder / f"{sha256(content)[:8]}.safetensors"
    path.write_bytes(content)
    return sha256(content), LocalBlobs.of([path])


class Watched:
    """Blobs that note what is read of them: (offset, bytes)."""

    def __init__(self, blobs: LocalBlobs) -> None:
        self._blobs = blobs
        self.reads: list[tuple[int, int]] = []

    def tensors(self, sha256: str) -> Mapping[str, BlobTensor]:
        return self._blobs.tensors(sha256)

    def read(self, sha256: str, offset: int, out: ByteArray) -> None:
        self.reads.append((offset, len(out)))
        self._blobs.read(sha256, offset, out)
