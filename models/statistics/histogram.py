"""A tensor's histogram, counted from all of its elements or an even sample of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seedpoint.models.statistics import masses, moments
from seedpoint.models.statistics.moments import Keys, Values

BINS = 64

SAMPLE_BLOCKS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts in `BINS` equal bins over [min, max], the last of which holds max too.

    The counts of a tensor add up to `sampled`, the finite elements looked at of its `of`.
    When `estimated`, they are those of several tensors, each weighted by its size: they
    add up to `of`, and an element may be counted one bin off.
    """

    min: float
    max: float
    bins: Keys
    sampled: int
    of: int
    estimated: bool = False

    def to_json(self) -> dict[str, Any]:
        body = {"min": self.min, "max": self.max, "bins": self.bins.tolist()}
        body |= {"sampled": self.sampled, "of": self.of}
        return body | ({"estimated": True} if self.estimated else {})


def sampled_blocks(blocks: int) -> range | tuple[int, ...]:
    """The indices of the blocks that are counted: all, or an even sample."""
    if blocks <= SAMPLE_BLOCKS:
        return range(blocks)
    return tuple(number * blocks // SAMPLE_BLOCKS for number in range(SAMPLE_BLOCKS))


def count(values: Values, low: float, high: float, of: int) -> Histogram:
    """The histogram of `values`, which all lie in [low, high], sampled from `of`."""
    counts = np.zeros(BINS, np.int64)
    moments.histogram(values, low, high, counts)
    return Histogram(low, high, counts, len(values), of)


def merged(histograms: Sequence[Histogram]) -> Histogram | None:
    """One histogram over the range of all; None for none.

    The counts of a bin are spread evenly over the wider bins that it meets.
    """
    if len(histograms) < 2:
        return histograms[0] if histograms else None
    low = min([histogram.min for histogram in histograms])
    high = max([histogram.max for histogram in histograms])
    mass = np.zeros(BINS)
    width = high / 2 - low / 2
    for histogram in histograms:
        places = (0.0, 1.0)
        if width:
            places = ((histogram.min / 2 - low / 2) / width, (histogram.max / 2 - low / 2) / width)
        masses.spread(histogram.bins, histogram.of / max(histogram.sampled, 1), *places, mass)
    return Histogram(
        min=low,
        max=high,
        bins=masses.whole(mass),
        sampled=sum([histogram.sampled for histogram in histograms]),
        of=sum([histogram.of for histogram in histograms]),
        estimated=True,
    )
