"""Cuts: thresholds that select the zeros of a sparse matrix, per column (STREAM, sparse).

An element's rank in its column is (its word, its row). A column's cut is the rank of its last zero,
so an element is zero when its own rank is not above the cut. A column of any length is thus two
numbers, and any range of the matrix can be computed from its columns' cuts.

One pass over the column's words finds the cut. It holds only the words near the expected quantile
of the cut, because words are uniform: about 12 standard deviations' worth, 6 * sqrt(rows) at most.
If the cut is not among them, the pass is repeated with twice the margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seedpoint.models.stream.cpu import Key
from seedpoint.models.stream.jit import kernel
from seedpoint.models.stream.kernels import words
from seedpoint.models.stream.parallel import Each, serial

Words = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

DEVIATIONS = 6.0  # one column in 10^9 is farther from its expected quantile
CALL_WORDS = 1 << 22  # words per kernel call, which nothing can interrupt
KEPT_RANKS = 1 << 22  # ranks held at once by a thread: 32 MiB
NARROWEST = 512  # columns of a block; below it, Philox is mostly overhead
CHUNK = 2048  # words computed at a time, which stay in L1


@dataclass(frozen=True, slots=True)
class Cuts:
    """Cuts of columns [first, first + len(words)): each column's (word, row).

    A column without zeros has row -1, below every rank.
    """

    first: int
    words: Words
    rows: Rows


def zeros_per_column(rows: int, sparsity: float) -> int:
    """Return the number of zeros in a column of `rows`, as `torch.nn.init.sparse_` counts."""
    return min(rows, math.ceil(sparsity * rows))


def find_cuts(
    key: Key,
    draw: int,
    shape: tuple[int, int],
    zeros: int,
    *,
    first: int = 0,
    last: int | None = None,
    each: Each = serial,
    deviations: float = DEVIATIONS,
) -> Cuts:
    """Return the cuts of columns [first, last) of a matrix of `shape` with `zeros` zeros a column.

    `draw` is the draw of the words. Memory is 12 bytes a column and, for each thread, about 32 MiB
    (more past 10^6 rows, in proportion to the root of their number). Time is one pass over the
    words of these columns. No bit depends on `each` or `deviations`.
    """
    rows, columns = shape
    last = columns if last is None else last
    cuts = Cuts(first, np.empty(last - first, np.uint32), np.empty(last - first, np.int64))
    if not 0 < zeros < rows:
        cuts.words[:], cuts.rows[:] = (0, -1) if zeros <= 0 else (2**32 - 1, rows - 1)
        return cuts
    _, _, room = _window(rows, zeros, deviations)
    width = max(NARROWEST, KEPT_RANKS // room)

    def block(number: int) -> None:
        start = number * width
        stop = min(start + width, last - first)
        part = Cuts(first + start, cuts.words[start:stop], cuts.rows[start:stop])
        margin = deviations
        while not _find(part, key, draw, shape, zeros, margin):
            margin *= 2

    each(block, range(-(-(last - first) // width)))
    return cuts


def erase(out: Floats, key: Key, draw: int, start: int, columns: int, cuts: Cuts) -> None:
    """Set the zeros among elements [start, start + len(out)) of the matrix.

    `draw` is the draw of the words; `cuts` covers every column that the range touches.
    """
    _erase(out, key, draw, start, columns, cuts.first, cuts.words, cuts.rows)


def _window(rows: int, zeros: int, deviations: float) -> tuple[int, int, int]:
    """Return the words [low, high) that should hold the cut, and the capacity for ranks."""
    fraction = zeros / rows
    margin = deviations * math.sqrt(zeros * (1 - fraction)) + deviations * deviations
    low = max(0, int((zeros - margin) / rows * 2**32))
    high = min(2**32, int((zeros + margin) / rows * 2**32) + 1)
    return low, high, min(rows, int(3 * margin) + 1)


def _find(
    cuts: Cuts, key: Key, draw: int, shape: tuple[int, int], zeros: int, deviations: float
) -> bool:
    """Find the cuts of one block; return False when the window or the capacity was too small."""
    rows, columns = shape
    low, high, room = _window(rows, zeros, deviations)
    assert (high - low) * rows < 2**63
    width = len(cuts.words)
    below, found = np.zeros(width, np.int64), np.zeros(width, np.int64)
    kept = np.full((width, room), 2**63 - 1)
    step = max(1, CALL_WORDS // width)
    for row in range(0, rows, step):
        stop = min(row + step, rows)
        collect(kept, below, found, key, draw, row, stop, columns, cuts.first, (low, high, rows))
    nth = zeros - 1 - below
    if (nth < 0).any() or (nth >= found).any() or (found > room).any():
        return False
    kept.sort(axis=1)
    ranks = np.take_along_axis(kept, nth[:, None], axis=1)[:, 0]
    cuts.words[:], cuts.rows[:] = low + ranks // rows, ranks % rows
    return True


@kernel
def collect(
    kept: Rows,
    below: Rows,
    found: Rows,
    key: Key,
    draw: int,
    start: int,
    stop: int,
    columns: int,
    first: int,
    window: tuple[int, int, int],
) -> None:
    """Count the words below the window and keep the ranks in it, for rows [start, stop).

    A rank is kept as (word - low) * rows + row. `found` keeps counting when capacity is exhausted.
    """
    low, high, rows = window
    width, room = kept.shape
    made = np.empty(CHUNK, np.uint32)
    # The words of whole rows form one run, because a narrow matrix's rows would be short runs.
    runs = 1 if width == columns else stop - start
    length = (stop - start) * width // runs
    for run in range(runs):
        row, c = start + run, 0
        for at in range(0, length, CHUNK):
            count = min(CHUNK, length - at)
            words(made[:count], key, draw, (start + run) * columns + first + at)
            for i in range(count):
                word = np.int64(made[i])
                if word < low:
                    below[c] += 1
                elif word < high:
                    if found[c] < room:
                        kept[c, found[c]] = (word - low) * rows + row
                    found[c] += 1
                c += 1
                if c == width:
                    row, c = row + 1, 0


@kernel
def _erase(
    out: Floats,
    key: Key,
    draw: int,
    start: int,
    columns: int,
    first: int,
    cut_words: Words,
    cut_rows: Rows,
) -> None:
    made = np.empty(CHUNK, np.uint32)
    row, column = start // columns, start % columns
    for at in range(0, out.size, CHUNK):
        count = min(CHUNK, out.size - at)
        words(made[:count], key, draw, start + at)
        for i in range(count):
            word, cut = made[i], cut_words[column - first]
            if (word < cut) | ((word == cut) & (row <= cut_rows[column - first])):
                out[at + i] = np.float32(0)
            column += 1
            if column == columns:
                row, column = row + 1, 0


def warm_up() -> None:
    """Compile every kernel, or load it from Numba's cache."""
    cuts = find_cuts((0, 0), 0, (2, 1), 1)
    erase(np.empty(2, np.float32), (0, 0), 0, 0, 1, cuts)
