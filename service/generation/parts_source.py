"""Byte source of parts of tensors: slices, or the windows that a rank holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seedpoint.models.files.layout import Bytes, File, Layout
from seedpoint.models.generation.evaluator import ByteArray
from seedpoint.models.generation.tensor_part import PIECE_ELEMENTS, TensorPart
from seedpoint.models.generation.whole_tensors import WholeTensor


@dataclass(frozen=True, slots=True)
class PartsFile:
    """Byte source of a safetensors file of parts: its header, then their elements."""

    file: File
    parts: tuple[TensorPart, ...]
    etag: str

    @classmethod
    def of(cls, parts: Sequence[TensorPart], *, etag: str) -> PartsFile:
        """Return the file that contains `parts` under their names.

        Raises:
            ValueError: A header or a size is beyond what the format takes.
        """
        layout = Layout.of(parts, metadata={"format": "pt"})
        return cls(layout.files["model.safetensors"], tuple(parts), etag)

    @property
    def size_bytes(self) -> int:
        return self.file.size_bytes

    @property
    def is_light(self) -> bool:
        return False  # Elements between those of a part may be generated too.

    def read(self, start: int, stop: int, out: ByteArray) -> None:
        """Write bytes [start, stop) of the file to `out`, of any alignment."""
        at = 0
        for segment in self.file.segments(start, stop):
            if isinstance(segment, Bytes):
                size = len(segment.data)
                out[at : at + size] = np.frombuffer(segment.data, np.uint8)
            else:
                size = segment.stop_byte - segment.start_byte
                part = self.parts[segment.tensor]
                part.read(segment.start_byte, segment.stop_byte, out[at : at + size])
            at += size

    def cuts(self, start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
        """Cut bytes [start, stop) into ranges of at most `nbytes`, or fewer if they are costly.

        No range generates much more than PIECE_ELEMENTS, and only `start` and `stop` may lie
        inside an element. Small parts share a range.
        """
        first = start
        work = 0.0  # Of the range that begins at `first`, in elements that are generated.
        for entry, low, high in self.file.within(start, stop):
            part, base = self.parts[entry.tensor], entry.start_byte
            share = PIECE_ELEMENTS / part.piece_elements * 8 / part.dtype.bits
            for begin, end in part.cuts(low - base, high - base, nbytes):
                at, last, cost = base + begin, base + end, (end - begin) * share
                if first < at and (last - first > nbytes or work + cost > PIECE_ELEMENTS):
                    yield first, at
                    first, work = at, 0.0
                work += cost
        if first < stop:
            yield first, stop

    def whole_tensors(self, start: int, stop: int) -> list[WholeTensor]:
        """Return the whole tensors that bytes [start, stop) of the file depend on."""
        found: dict[WholeTensor, None] = {}
        for entry, low, high in self.file.within(start, stop):
            part, base = self.parts[entry.tensor], entry.start_byte
            found |= dict.fromkeys(part.whole_tensors(low - base, high - base))
        return list(found)
