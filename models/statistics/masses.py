"""Kernels for the probabilities of bins and tails, and for how far counts are from them.

`lines` are the segments of a law: float64 (segments, 4) of start, stop, slope and intercept. `form`
is that of its variable (`draws.standard.Form`).
"""

from __future__ import annotations

import math

import numpy as np

from seedpoint.models.draws.standard import UNIFORM, Floats, Form
from seedpoint.models.statistics.moments import Keys
from seedpoint.models.stream.jit import kernel

_ROOT_HALF = math.sqrt(0.5)


@kernel
def _base(x: float, form: Form) -> float:
    """Return the value of the base variable at which an exponential one is `x`."""
    _, scale, shift = form
    if scale == 0:
        return x
    return (math.log(x) - shift) / scale if x > 0 else -np.inf


@kernel
def _below(x: float, normal: bool) -> float:
    """Return the probability below `x`, of a normal variable less 1 from 0 on.

    So both of its tails are without cancellation.
    """
    if not normal:
        return x / 2
    tail = math.erfc(abs(x) * _ROOT_HALF) / 2
    return tail if x < 0 else -tail


@kernel
def between(start: float, stop: float, form: Form) -> float:
    """Return the probability of the standard variable between the two."""
    normal, start, stop = form[0], _base(start, form), _base(stop, form)
    mass = _below(stop, normal) - _below(start, normal)
    return max(mass + 1.0 if normal and start < 0 <= stop else mass, 0.0)


@kernel
def tails(lines: Floats, form: Form, near: float, far: float, upper: bool) -> tuple[float, float]:
    """Return the probabilities of a value as great (`upper`) or as small as `near` and `far`."""
    as_far, past = 0.0, 0.0
    for number in range(len(lines)):
        start, stop = lines[number, 0], lines[number, 1]
        slope, intercept = lines[number, 2], lines[number, 3]
        if slope == 0:
            mass = between(start, stop, form)
            as_far += mass if (intercept >= near if upper else intercept <= near) else 0.0
            past += mass if (intercept >= far if upper else intercept <= far) else 0.0
            continue
        x = min(max((near - intercept) / slope, start), stop)
        y = min(max((far - intercept) / slope, start), stop)
        if (slope > 0) == upper:
            as_far += between(x, stop, form)
            past += between(y, stop, form)
        else:
            as_far += between(start, x, form)
            past += between(start, y, form)
    return as_far, past


@kernel
def _edge(low: float, high: float, place: int, bins: int) -> float:
    """Return where bin `place` of equal ones begins; by halves, for any finite range."""
    half_way = (high * 0.5 - low * 0.5) / bins * place
    return high if place == bins else low + half_way + half_way


@kernel
def line_shares(lines: Floats, form: Form, low: float, high: float, shares: Floats) -> float:
    """Add to `shares` the law's in equal bins over [low, high], the last of which holds `high`.

    Returns the sum of `shares`.
    """
    bins, total, normal = len(shares), 0.0, form[0]
    for number in range(len(lines)):
        start, stop = lines[number, 0], lines[number, 1]
        slope, intercept = lines[number, 2], lines[number, 3]
        whole = between(start, stop, form)
        total += whole
        if slope == 0:
            place = bins - 1
            while place >= 0 and _edge(low, high, place, bins) > intercept:
                place -= 1
            if place >= 0 and intercept <= high:
                shares[place] += whole
            continue
        x = _base(min(max((low - intercept) / slope, start), stop), form)
        below = _below(x, normal)
        for place in range(bins):
            edge = _edge(low, high, place + 1, bins)
            y = _base(min(max((edge - intercept) / slope, start), stop), form)
            up_to = _below(y, normal)
            mass = up_to - below if slope > 0 else below - up_to
            mass += 1.0 if normal and min(x, y) < 0 <= max(x, y) else 0.0
            shares[place] += max(mass, 0.0)
            x, below = y, up_to
    inside = 0.0
    for place in range(bins):
        shares[place] = shares[place] / total if total else shares[place]
        inside += shares[place]
    return inside


@kernel
def binned(values: Floats, weights: Floats, low: float, high: float, shares: Floats) -> float:
    """Add the weights of ascending `values` in [low, high] to equal bins over that range.

    Returns their sum. A value falls in the bin in which `moments.histogram` counts it, by the
    same arithmetic.
    """
    bins = len(shares)
    base = low * 0.5
    scale = bins / (high * 0.5 - base)
    start, stop = np.searchsorted(values, low), np.searchsorted(values, high, side="right")
    for i in range(start, stop):
        place = np.int32((values[i] * 0.5 - base) * scale) if np.isfinite(scale) else np.int32(0)
        shares[min(place, np.int32(bins - 1))] += weights[i]
    inside: float = np.sum(shares)
    return inside


@kernel
def spread(counts: Keys, weight: float, start: float, stop: float, mass: Floats) -> None:
    """Add `counts`, each `weight` times, to `mass`: as many equal bins over [0, 1].

    Theirs are over [start, stop] in it; a count is spread evenly over the bins that it meets.
    """
    bins = len(counts)
    below, edges = np.empty(bins + 1), np.empty(bins + 1)
    below[0], edges[bins] = 0.0, 0.0
    for place in range(bins):
        below[place + 1] = below[place] + counts[place] * weight
    if start == stop:  # one value
        mass[min(int(start * bins), bins - 1)] += below[bins]
        return
    for place in range(bins + 1):
        edges[place] = start + (stop - start) * (place / bins)
    previous, left = 0.0, 0
    for place in range(bins + 1):
        x = place / bins
        while left < bins and edges[left + 1] <= x:
            left += 1
        if x < edges[0]:
            found = 0.0
        elif left == bins:
            found = below[bins]
        elif x == edges[left]:  # The slope between edges that nearly touch is infinite.
            found = below[left]
        else:
            slope = (below[left + 1] - below[left]) / (edges[left + 1] - edges[left])
            found = slope * (x - edges[left]) + below[left]
        if place:
            mass[place - 1] += found - previous
        previous = found


@kernel
def whole(mass: Floats) -> Keys:
    """Return `mass` in whole numbers that add up to its rounded sum."""
    counts = np.empty(len(mass), np.int64)
    below, end = 0.0, 0
    for place in range(len(mass)):
        below += mass[place]
        counts[place] = np.int64(np.rint(below)) - end
        end += counts[place]
    return counts


@kernel
def _is_left_out(count: float, expected: float, is_sure: bool) -> bool:
    return count >= 1 and count > expected and not is_sure


@kernel
def divergence(
    counts: Keys, expected: Floats, width: int, sampled: float, is_sure: tuple[bool, bool]
) -> tuple[float, int]:
    """Return the relative entropy of `counts` times their number, and how many bins may have any.

    `width` bins are taken together. `expected` need not add up to 1. The entropy is infinite
    where a value is in a bin of none.

    The least and the greatest of the values are known, and left out of the first and the last
    bin. An extreme that one element is at says nothing about the others, but that they are not
    past it: without it they are independent. A value that many are expected to be at (of a
    narrow dtype, or a clamp's bound) `is_sure` to be an extreme, and says nothing at all.
    A sample may hold the extreme or not: it is left out where that is nearer to what is
    expected. `sampled` is the size of a sample, 0 for all values.
    """
    kept = counts.astype(np.float64)
    kept[0] -= _is_left_out(kept[0], sampled * expected[0], is_sure[0])
    kept[-1] -= _is_left_out(kept[-1], sampled * expected[-1], is_sure[1])
    distance, occupied, ratio = 0.0, 0, np.sum(expected) / np.sum(kept)
    for start in range(0, len(counts), width):
        count, share = 0.0, 0.0
        for place in range(start, start + width):
            count += kept[place]
            share += expected[place]
        occupied += share > 0
        if count > 0:
            distance += count * math.log(count * ratio / share) if share > 0 else np.inf
    return distance, occupied


def warm_up() -> None:
    """Compile every kernel, or load it from the cache."""
    values, weights = np.array([0.0, 1.0]), np.array([0.5, 0.5])
    lines = np.array([[-1.0, 1.0, 1.0, 0.0]])
    tails(lines, UNIFORM.form, 0.0, 0.5, True)
    line_shares(lines, UNIFORM.form, 0.0, 1.0, np.zeros(2))
    binned(values, weights, 0.0, 1.0, np.zeros(2))
    spread(np.array([1, 1]), 1.0, 0.0, 1.0, np.zeros(2))
    whole(weights)
    divergence(np.array([1, 1]), weights, 1, 0.0, (False, False))
