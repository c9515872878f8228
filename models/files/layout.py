"""Files of a checkpoint: their names, headers and offsets, and the contents of any byte range.

No values of a tensor are computed here. A `File` is literal bytes (`head`), then tensors at known
offsets, so a byte range of it is literal bytes and spans of tensors. The same tensors, metadata and
options always give the same files, byte for byte.

Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple, Protocol

from seedpoint.models.dtypes import RANK, DType
from seedpoint.models.files.shards import INDEX_FILE, shard_name, split

Ties = Literal["once", "each"]

MAX_HEADER_BYTES = 100_000_000  # the library's MAX_HEADER_SIZE: its readers refuse more
MAX_FILE_BYTES = 2**63 - 1  # a signed 64-bit file offset
METADATA_KEY = "__metadata__"
SUFFIX = ".safetensors"


class Tensor(Protocol):
    """Tensor as a layout sees it: its names, type and size, never its values.

    `name` is the first of its names in state-dict order, `aliases` are the others; `nbytes` is the
    product of `shape` times the item size.
    """

    @property
    def name(self) -> str: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...
    @property
    def dtype(self) -> DType: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def nbytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Bytes:
    """Range of a file with known contents: a piece of its `head`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Span:
    """Range of a file that holds bytes [start_byte, stop_byte) of a tensor.

    `tensor` is the tensor's index in the sequence that was laid out. The ends are not aligned to
    elements: a byte range may begin and end inside one.
    """

    tensor: int
    start_byte: int
    stop_byte: int


Segment = Bytes | Span


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored tensor: bytes [start_byte, stop_byte) of its file, under `name`.

    `name` is the tensor's name, or an alias with its own copy.
    """

    name: str
    tensor: int
    start_byte: int
    stop_byte: int


@dataclass(frozen=True, slots=True)
class File:
    """One file: `head`, then the bytes of `entries` side by side, in that order.

    `head` is a safetensors header with its length, or the whole of a text.
    """

    name: str
    head: bytes
    entries: tuple[Entry, ...] = ()

    @property
    def size_bytes(self) -> int:
        return self.entries[-1].stop_byte if self.entries else len(self.head)

    def segments(self, start: int, stop: int) -> Iterator[Segment]:
        """Yield the contents of bytes [start, stop) of the file, in order, without empty segments.

        Takes O(log entries) plus the number of segments.

        Raises:
            ValueError: The range is not within the file.
        """
        if not 0 <= start <= stop <= self.size_bytes:
            raise ValueError(
                f"bytes [{start}, {stop}) are not within {self.name}; "
                f"it has bytes [0, {self.size_bytes})"
            )
        return self._segments(start, stop)

    def within(self, start: int, stop: int) -> Iterator[tuple[Entry, int, int]]:
        """Yield each entry that overlaps bytes [start, stop), with its part of that range."""
        at = bisect_right(self.entries, start, key=lambda entry: entry.stop_byte)
        while at < len(self.entries) and (entry := self.entries[at]).start_byte < stop:
            first, last = max(start, entry.start_byte), min(stop, entry.stop_byte)
            if first < last:
                yield entry, first, last
            at += 1

    def _segments(self, start: int, stop: int) -> Iterator[Segment]:
        if literal := self.head[start:stop]:
            yield Bytes(literal)
        for entry, first, last in self.within(start, stop):
            yield Span(entry.tensor, first - entry.start_byte, last - entry.start_byte)


@dataclass(frozen=True, slots=True)
class Layout:
    """Files of a checkpoint by name: its shards, their index if any, and small texts."""

    files: Mapping[str, File]

    @property
    def shards(self) -> tuple[File, ...]:
        """Files that hold the tensors, in order."""
        return tuple(file for file in self.files.values() if file.name.endswith(SUFFIX))

    @classmethod
    def of(
        cls,
        tensors: Sequence[Tensor],
        *,
        metadata: Mapping[str, str],
        first_metadata: Mapping[str, str] | None = None,
        max_shard_size: int | None = None,
        ties: Ties = "once",
        texts: Mapping[str, str] | None = None,
    ) -> Layout:
        """Return the layout of `tensors`, which are in state-dict order.

        `metadata` goes into the `__metadata__` of every file. `first_metadata` goes into the first
        file only: large entries that are the same for all files, like the plan, would otherwise be
        read again with every shard.

        `ties`: "once" stores a tensor with aliases under its name and adds alias -> name to the
        metadata of its file, like `safetensors.torch.save_model` (an existing metadata entry
        stays); "each" stores a copy under each name. Tensors without elements are always stored
        under each name, as in that function: PyTorch cannot tell that they are shared, so no loader
        would restore them.

        `max_shard_size`, in bytes of tensors, decides between one file and several like
        `huggingface_hub.split_torch_state_dict_into_shards`; None means one file.

        `texts` are small files, by name, that follow the files of tensors.

        Raises:
            ValueError: A name is duplicate or not allowed in a file, the limit is below one byte, a
                header is beyond 100 MB, or a size is beyond 64 bits.
        """
        stored = list(_stored(tensors, ties))
        _refuse_duplicates(stored)
        shards = split([item.nbytes for item in stored], max_shard_size)
        files: dict[str, File] = {}
        for number, places in enumerate(shards):
            shard = [stored[place] for place in places]
            dropped = {alias: item.name for item in shard for alias in item.dropped}
            first = first_metadata if number == 0 and first_metadata else {}
            name = shard_name(number, len(shards))
            files[name] = _safetensors(name, shard, {**dropped, **metadata, **first})
        if len(shards) > 1:
            files[INDEX_FILE] = _index(tuple(files.values()))
        for name, text in (texts or {}).items():
            if name in files:
                raise ValueError(f"two files would be named {name!r}")
            files[name] = File(name, text.encode())
        return cls(files)


class _Stored(NamedTuple):
    """Tensor under one name, with the aliases that it also stands for."""

    name: str
    dropped: tuple[str, ...]
    tensor: int
    code: str
    shape: tuple[int, ...]
    nbytes: int


def _stored(tensors: Sequence[Tensor], ties: Ties) -> Iterator[_Stored]:
    for index, tensor in enumerate(tensors):
        nbytes = tensor.nbytes
        # Readers multiply the dimensions one by one, so a later zero does not prevent an overflow.
        if (nbytes or math.prod(max(dim, 1) for dim in tensor.shape)) > MAX_FILE_BYTES:
            shape = list(tensor.shape)
            raise ValueError(f"{tensor.name!r} of shape {shape} has too many bytes, 2**63 or more")
        once = ties == "once" and nbytes > 0
        dropped = tensor.aliases if once else ()
        for name in (tensor.name,) if once else (tensor.name, *tensor.aliases):
            yield _Stored(name, dropped, index, tensor.dtype.code, tensor.shape, nbytes)


def _refuse_duplicates(stored: Sequence[_Stored]) -> None:
    seen = {METADATA_KEY}
    for item in stored:
        for name in (item.name, *item.dropped):
            if name == METADATA_KEY:
                raise ValueError(
                    f"a tensor cannot be named {METADATA_KEY!r}: safetensors reserves that "
                    "name for metadata"
                )
            if name in seen:
                raise ValueError(f"two tensors are named {name!r}: names must differ")
            seen.add(name)


def _safetensors(name: str, shard: Sequence[_Stored], metadata: Mapping[str, str]) -> File:
    # The library's order: dtype rank descending, then name. Strings compare by code point, which is
    # the order of their UTF-8 bytes.
    ordered = sorted(shard, key=lambda item: (-RANK[item.code], item.name))
    offsets = list(accumulate((item.nbytes for item in ordered), initial=0))
    head = _head(name, ordered, offsets, metadata)
    base = len(head)
    if base + offsets[-1] > MAX_FILE_BYTES:
        raise ValueError(f"{name} would have 2**63 bytes or more; use a smaller max_shard_size")
    entries = tuple(
        Entry(item.name, item.tensor, base + start, base + stop)
        for item, (start, stop) in zip(ordered, pairwise(offsets), strict=True)
    )
    return File(name, head, entries)


def _head(
    name: str, ordered: Sequence[_Stored], offsets: Sequence[int], metadata: Mapping[str, str]
) -> bytes:
    document: dict[str, object] = {METADATA_KEY: dict(metadata)} if metadata else {}
    for item, ends in zip(ordered, pairwise(offsets), strict=True):
        document[item.name] = {"data_offsets": ends, "dtype": item.code, "shape": item.shape}
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    try:
        body = text.encode()
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 40) : error.end]
        raise ValueError(f"names and metadata must be valid Unicode; {near!r} is not") from error
    body += b" " * (-len(body) % 8)
    if len(body) > MAX_HEADER_BYTES:
        raise ValueError(
            f"the header of {name} would have {len(body)} bytes; safetensors readers accept "
            f"{MAX_HEADER_BYTES}; use a smaller max_shard_size or a smaller spec"
        )
    return struct.pack("<Q", len(body)) + body


def _index(shards: Sequence[File]) -> File:
    """Return the index in the form that `huggingface_hub` and `transformers` write."""
    weight_map = {entry.name: file.name for file in shards for entry in file.entries}
    total_size = sum(file.size_bytes - len(file.head) for file in shards)
    index = {"metadata": {"total_size": total_size}, "weight_map": weight_map}
    return File(INDEX_FILE, (json.dumps(index, indent=2, sort_keys=True) + "\n").encode())
