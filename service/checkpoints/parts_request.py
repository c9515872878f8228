"""Parts of a checkpoint that a client asks for: slices by name, or what a rank holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import Field, StrictStr, ValidationError

from seedpoint.models.errors import Fault, SpecError
from seedpoint.models.files.slices import parse_slice
from seedpoint.models.generation.parts import Part
from seedpoint.models.generation.tensor_part import TensorPart
from seedpoint.models.plan import canonical_json
from seedpoint.models.plan.plan import PlanTensor
from seedpoint.models.ranks.placement_text import parse_placement
from seedpoint.models.ranks.placements import Placement, PlacementError, Replicate, local_indices
from seedpoint.models.ranks.windows import Window
from seedpoint.models.rules import globs
from seedpoint.models.rules.rule import Glob
from seedpoint.models.validation.faults import faults_from, join
from seedpoint.models.validation.numbers import Schema
from seedpoint.service.checkpoints.checkpoint import Checkpoint
from seedpoint.service.errors import NotFound

MAX_RANKS = 2**40
MAX_FAULTS = 20

Size = Annotated[int, Field(ge=1, le=MAX_RANKS, strict=True)]


class PartsRequest(Schema):
    """Slices by name; or a mesh, placements and a rank, for everything that the rank holds."""

    slices: dict[StrictStr, StrictStr] | None = Field(
        default=None,
        min_length=1,
        description="Slice of each tensor by NumPy's rules: `0:128,:`. An empty one is the whole.",
        examples=[{"lm_head.weight": "0:128,:"}],
    )
    mesh: Annotated[tuple[Size, ...], Field(min_length=1, max_length=8)] | None = Field(
        default=None,
        description="Shape of the mesh of ranks, which are numbered in row-major order.",
        examples=[[2, 4]],
    )
    rank: Annotated[int, Field(ge=0, le=MAX_RANKS, strict=True)] | None = Field(
        default=None, description="Number of the rank whose local tensors are wanted."
    )
    placements: dict[Glob, tuple[StrictStr, ...]] = Field(
        default={},
        description="Placements, one for each dimension of the mesh, by a glob on names; the first "
        "that matches holds, and other tensors are replicated. The words are DTensor's: `Shard(0)`,"
        " `Replicate()`, `_StridedShard(0, split_factor=2)`.",
        examples=[{"**.o_proj.weight": ["Replicate()", "Shard(1)"]}],
    )

    @property
    def canonical(self) -> str:
        """Canonical JSON of what differs from the defaults, with placements in their order."""
        document = self.model_dump(mode="json", exclude_defaults=True)
        if self.placements:
            document["placements"] = list(map(list, self.placements.items()))
        return canonical_json.text(document)


@cache
def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a request; do not modify it."""
    return PartsRequest.model_json_schema()


def parse_request(document: Any) -> PartsRequest:
    """Return the request in a JSON document.

    Raises:
        SpecError: With the path of every fault.
    """
    try:
        found = PartsRequest.model_validate(document)
    except ValidationError as error:
        raise SpecError(faults_from(error, document, schema=json_schema())) from None
    if (found.slices is None) == (found.mesh is None):
        raise SpecError.at(
            "", 'give either "slices", by name, or "mesh", "placements" and "rank" for a rank'
        )
    if found.slices is not None and (found.rank is not None or found.placements):
        raise SpecError.at("slices", '"rank" and "placements" go with "mesh", not with "slices"')
    if found.mesh is not None:
        if found.rank is None:
            raise SpecError.at("rank", "missing; it says which rank's tensors are wanted")
        if found.rank >= (ranks := math.prod(found.mesh)):
            raise SpecError.at("rank", f"rank {found.rank} is outside a mesh of {ranks} ranks")
    return found


async def parts(checkpoint: Checkpoint, request: PartsRequest) -> tuple[TensorPart, ...]:
    """Return the parts that a request names.

    Raises:
        SpecError: A name, a slice or a placement does not fit the checkpoint.
    """
    if request.slices is not None:
        return await _slices(checkpoint, request.slices)
    faults = list[Fault]()
    found = list[TensorPart]()
    placements = _Placements(request)
    for number, tensor in enumerate(checkpoint.plan.tensors):
        try:
            window = placements.window(tensor)
        except SpecError as error:
            faults += error.faults
            if len(faults) >= MAX_FAULTS:
                break
        else:
            part = TensorPart(checkpoint.evaluator, number, window, tensor.name, tensor.aliases)
            found.append(part)
    return _of_whole_bytes(found, faults)


def _of_whole_bytes(found: list[TensorPart], faults: list[Fault]) -> tuple[TensorPart, ...]:
    """Return the parts, unless there are faults or elements that share a byte are parted."""
    faults += [
        Fault(join("slices", part.name), fault)
        for part in found
        if (fault := part.dtype.shape_fault(part.shape)) is not None
    ]
    if faults:
        raise SpecError(faults[:MAX_FAULTS])
    return tuple(found)


async def _slices(checkpoint: Checkpoint, slices: Mapping[str, str]) -> tuple[TensorPart, ...]:
    faults, found = list[Fault](), list[TensorPart]()
    for name, text in slices.items():
        try:
            number = await checkpoint.tensor(name)
            picked: Part = parse_slice(text, checkpoint.plan.tensors[number].shape)
        except (NotFound, ValueError) as error:
            faults.append(Fault(join("slices", name), str(error)))
            if len(faults) >= MAX_FAULTS:
                break
        else:
            found.append(TensorPart(checkpoint.evaluator, number, picked, name))
    return _of_whole_bytes(found, faults)


class _Placements:
    """Placements of tensors by globs, and the coordinate of the rank in its mesh."""

    def __init__(self, request: PartsRequest) -> None:
        assert request.mesh is not None
        assert request.rank is not None
        self._mesh = request.mesh
        self._coordinate = tuple(_coordinate(request.rank, request.mesh))
        self._by_glob = {
            glob: tuple(self._parsed(glob, texts)) for glob, texts in request.placements.items()
        }

    def window(self, tensor: PlanTensor) -> Window:
        """Return the elements that the rank holds.

        Raises:
            SpecError: The placements do not fit the tensor.
        """
        names = (tensor.name, *tensor.aliases)
        matching = (
            glob for glob in self._by_glob if any(globs.match(glob, n) is not None for n in names)
        )
        glob = next(matching, "")
        replicated: tuple[Placement, ...] = (Replicate(),) * len(self._mesh)
        placements = self._by_glob.get(glob, replicated)
        try:
            indices = local_indices(tensor.shape, self._mesh, self._coordinate, placements)
        except PlacementError as error:
            more = "" if tensor.shape else '; put "Replicate()" for its name before this glob'
            raise SpecError.at(
                join("placements", glob), f"'{tensor.name}': {error}{more}"
            ) from None
        return Window.of(tensor.shape, indices)

    def _parsed(self, glob: str, texts: tuple[str, ...]) -> Iterator[Placement]:
        for number, text in enumerate(texts):
            try:
                yield parse_placement(text)
            except PlacementError as error:
                place = join(join("placements", glob), str(number))
                raise SpecError.at(place, str(error)) from None


def _coordinate(rank: int, mesh: tuple[int, ...]) -> list[int]:
    found = []
    for size in reversed(mesh):
        rank, place = divmod(rank, size)
        found.append(place)
    return found[::-1]
