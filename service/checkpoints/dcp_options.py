"""Options of a checkpoint's DCP directory: its grid, and other names for its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Annotated, Any

from pydantic import Field, ValidationError

from seedpoint.models.errors import SpecError
from seedpoint.models.files.dcp.directory import DcpDirectory
from seedpoint.models.files.dcp.grid import MAX_PARTS, Grid, GridError
from seedpoint.models.plan import canonical_json
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.rules.renames import Rename, renamed
from seedpoint.models.validation.faults import faults_from
from seedpoint.models.validation.numbers import Schema

Parts = Annotated[int, Field(ge=1, le=MAX_PARTS, strict=True)]


class DcpOptions(Schema):
    """Layout of a torch.distributed.checkpoint directory."""

    grid: Annotated[tuple[Parts, ...], Field(min_length=2, max_length=2)] | None = Field(
        default=None,
        description="Rows and columns of chunks: parts of dimension 0 and 1 of every tensor. A "
        "rank reads only its shard if they are multiples of the mesh. By default the largest power "
        "of two that keeps a tensor's chunks at 1 MiB or more.",
        examples=[[8, 8]],
    )
    rename: tuple[Rename, ...] = Field(
        default=(),
        description="Names in the directory, by the first of these globs that matches; other "
        "tensors keep their names.",
        examples=[[{"match": "**", "to": "model.**"}]],
    )

    @property
    def canonical(self) -> str:
        """Canonical JSON of what differs from the defaults."""
        return canonical_json.text(self.model_dump(mode="json", exclude_defaults=True))

    def directory(self, tensors: Sequence[PlanTensor]) -> DcpDirectory:
        """Return the directory of a plan's tensors.

        Raises:
            SpecError: The grid has too many chunks, or a rename has a fault (`renamed`).
        """
        grid = None if self.grid is None else Grid(*self.grid)
        names = list(chain.from_iterable((t.name, *t.aliases) for t in tensors))
        try:
            return DcpDirectory(tensors, grid=grid, names=renamed(names, self.rename))
        except GridError as error:
            raise SpecError.at("grid", str(error)) from None


@cache
def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the options; do not modify it."""
    return DcpOptions.model_json_schema()


def parse_options(document: Any) -> DcpOptions:
    """Return the options of a JSON document.

    Raises:
        SpecError: With the path of every fault.
    """
    try:
        return DcpOptions.model_validate(document)
    except ValidationError as error:
        raise SpecError(faults_from(error, document, schema=json_schema())) from None
