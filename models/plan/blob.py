"""Source of elements in a blob: a safetensors file that a plan names by its SHA-256."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import ClassVar

from seedpoint.models.dtypes import BY_NAME, DType

MAX_OFFSET = 2**63 - 1  # a signed 64-bit file offset
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Blob:
    """Source of the elements of one tensor in a blob, row-major and little-endian.

    `sha256` names the blob (lower-case hex). The tensor has `shape` and begins at byte `offset` of
    the file; `dtype` is its element type under PyTorch's name (`bfloat16`).
    """

    type: ClassVar[str] = "blob"
    sha256: str
    offset: int
    dtype: str
    shape: tuple[int, ...]

    def check(self, shape: tuple[int, ...], dtype: DType) -> None:
        """Check that the elements can fill a tensor of `shape` that is computed in `dtype`.

        Raises:
            ValueError: They cannot, or a field has another type than it should.
        """
        if not isinstance(self.sha256, str) or not _SHA256.fullmatch(self.sha256):
            raise ValueError("its blob is not named by a SHA-256")
        if not isinstance(self.dtype, str) or self.dtype not in BY_NAME:
            raise ValueError("the dtype in its blob is unknown")
        given = BY_NAME[self.dtype]
        if not dtype.converts(given):
            raise ValueError(f"{given} in its blob cannot be converted to {dtype}")
        if self.shape != shape:
            raise ValueError("the shape in its blob is another")
        last = MAX_OFFSET - math.prod(shape) * given.itemsize
        if type(self.offset) is not int or not 0 <= self.offset <= last:
            raise ValueError("the offset in its blob is outside every file")
