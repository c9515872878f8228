"""Faults of a tensor that no rule can mend: a reserved name, a dtype that a script lacks."""

from __future__ import annotations

from seedpoint.models.dtypes import DType
from seedpoint.models.errors import SpecError
from seedpoint.models.files.layout import METADATA_KEY
from seedpoint.models.planning.record_architecture import Declared
from seedpoint.models.validation.faults import join


def check_declared(declared: Declared, dtype: DType, generator: str) -> None:
    """Check that a file can hold the tensor, and that `generator` can make its `dtype`.

    Raises:
        SpecError: It cannot; the error names the tensor's place in the spec.
    """
    if declared.name == METADATA_KEY:
        message = f"{METADATA_KEY} is reserved by the safetensors format"
        raise SpecError.at(declared.path, message)
    if dtype.per_item > 1 and generator != "philox-v1":
        raise SpecError.at(
            join(declared.path, "dtype"),
            f"PyTorch converts nothing to {dtype}, so generator {generator} has no such tensors; "
            "use generator philox-v1",
        )
