"""Header of a blob, a safetensors file of a client: its tensors and where they are."""

from __future__ import annotations

from collections.abc import Mapping

from seedpoint.models.dtypes import BY_CODE
from seedpoint.models.files.blobs import BlobTensor
from seedpoint.models.verify.header import FileFault, head_bytes, parse

MAX_HEAD_BYTES = 8 << 20
"""Longest header of a blob, in bytes, length field included: about 70,000 tensors."""


def blob_head_bytes(prefix: bytes, size_bytes: int) -> int:
    """Return the length of a blob's header, length field included, from the blob's first 8 bytes.

    `size_bytes` is the blob's size, or an upper bound of it.

    Raises:
        FileFault: The blob is not a safetensors file, or its header is longer than MAX_HEAD_BYTES.
    """
    length = head_bytes(prefix, size_bytes)
    if length > MAX_HEAD_BYTES:
        raise FileFault(
            f"its header would have {length:,} bytes, and at most {MAX_HEAD_BYTES:,} are allowed "
            "in a blob"
        )
    return length


def blob_tensors(head: bytes, size_bytes: int) -> Mapping[str, BlobTensor]:
    """Return the tensors of a blob of `size_bytes` by name, in the order of their bytes.

    Raises:
        FileFault: The header violates the format: its tensors do not fill the file side by side.
    """
    return {
        name: BlobTensor(BY_CODE[found.dtype], found.shape, len(head) + found.start_byte)
        for name, found in parse(head, size_bytes).tensors.items()
    }
