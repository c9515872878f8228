"""Tensor in a blob, by which `values` are given in a file."""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import islice
from typing import Annotated, Any

from pydantic import Field, PlainValidator, StrictStr, WithJsonSchema

from seedpoint.models.errors import SpecError
from seedpoint.models.files.blobs import BlobTensor
from seedpoint.models.initializers.base import ArgumentError, Target
from seedpoint.models.initializers.captured import filled
from seedpoint.models.plan.blob import Blob
from seedpoint.models.validation.numbers import Schema

MAX_NAMES = 2000  # names among which a hint looks for the nearest
NEAREST = 3  # names in a hint
_EXAMPLE = "a3f1" * 16
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError("must be a SHA-256: 64 lower-case hexadecimal digits")
    return value


Digest = Annotated[
    str,
    PlainValidator(_digest),
    WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
]


class FileTensor(Schema):
    """Tensor in a safetensors file that has been put (`PUT /v1/blobs/{sha256}`)."""

    sha256: Digest = Field(
        description="SHA-256 of the file, 64 lower-case hexadecimal digits.", examples=[_EXAMPLE]
    )
    tensor: StrictStr = Field(
        description="Name of the tensor in the file; captures are filled in: `h.{layer}.weight`.",
        examples=["emb.weight"],
    )

    def source(self, target: Target) -> Blob:
        """Return the source of the tensor's elements.

        Raises:
            ArgumentError: The blob or the tensor is missing, or does not fit `target`.
        """
        try:
            name = filled(self.tensor, target.scope)
        except ValueError as error:
            raise ArgumentError("file.tensor", str(error)) from None
        try:
            tensors = target.blob_tensors(self.sha256)
        except SpecError:
            raise
        except ValueError as error:
            raise ArgumentError("file.sha256", str(error)) from None
        if (found := tensors.get(name)) is None:
            near = get_close_matches(name, list(islice(tensors, MAX_NAMES)), NEAREST, 0.0)
            names = ", ".join(map(repr, near))
            hint = f"nearest of {len(tensors)}: {names}" if near else "it has none"
            raise ArgumentError("file.tensor", f"the blob has no tensor {name!r}; {hint}")
        self._check(name, found, target)
        return Blob(self.sha256, found.offset, found.dtype.name, found.shape)

    def _check(self, name: str, found: BlobTensor, target: Target) -> None:
        if found.shape != target.shape:
            raise ArgumentError(
                "file.tensor",
                f"{name!r} in the blob has shape {list(found.shape)}; "
                f"this tensor's is {list(target.shape)}",
            )
        if not target.dtype.converts(found.dtype):
            raise ArgumentError(
                "file.tensor",
                f"{name!r} in the blob is {found.dtype}, of which not every value is one of "
                f"{target.dtype}; convert the file",
            )
