"""Conversion to four bits: the nearest of sixteen numbers, two in a byte."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from seedpoint.models.stream import cpu, float4, reference
from seedpoint.models.stream.float4 import FLOAT4

Floats = npt.NDArray[np.float32]
Raw = npt.NDArray[np.uint8]
Convert = Callable[[Floats], Raw]
MAGNITUDES = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]  # by pattern: OCP Microscaling 1.0, E2M1


def by_kernel(values: Floats) -> Raw:
    out = np.empty(len(values) // 2, np.uint8)
    cpu.convert(values, out, FLOAT4)
    return out


def by_reference(values: Floats) -> Raw:
    found: Raw = reference.convert(torch.from_numpy(values), FLOAT4).numpy()
    return found


BOTH = pytest.mark.parametrize("convert", [by_kernel, by_reference], ids=["kernel", "reference"])


def nearest(values: Floats) -> list[int]:
    """The pattern of the nearest number, by its distance; of two, the one whose last bit is 0."""
    found = []
    for value in values.tolist():
        apart = [(abs(abs(value) - each), code & 1, code) for code, each in enumerate(MAGNITUDES)]
        found.append(min(apart)[2] | (8 if np.signbit(value) else 0))
    return found


def around(values: list[float]) -> Floats:
    exact = np.array(values, np.float32)
    beside = [np.nextafter(exact, np.float32(end)) for end in (-np.inf, np.inf)]
    positive = np.concatenate([exact, *beside])
    return np.concatenate([positive, -positive])


@BOTH
def test_a_number_becomes_the_nearest_and_ties_go_to_even(convert: Convert) -> None:
    ties = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0]
    values = np.concatenate([around(MAGNITUDES), around(ties), around([1e-40, 7.0, 1e5])])
    assert float4.patterns(convert(values)).tolist() == nearest(values)
    drawn = (np.random.default_rng(1).standard_normal(20_000) * 3).astype(np.float32)
    assert float4.patterns(convert(drawn)).tolist() == nearest(drawn)


@BOTH
def test_there_is_no_infinity_and_no_nan(convert: Convert) -> None:
    values = np.array([np.inf, -np.inf, np.nan, -np.nan], np.float32)
    assert float4.numbers(convert(values)).tolist() == [6.0, -6.0, 6.0, 6.0]


@BOTH
def test_the_first_of_two_is_in_the_lower_half_of_the_byte(convert: Convert) -> None:
    assert convert(np.array([0.5, -6.0], np.float32)).tolist() == [0xF1]


def test_patterns_and_bytes_are_the_same() -> None:
    raw = np.arange(256, dtype=np.uint8)
    assert float4.packed(float4.patterns(raw)).tolist() == raw.tolist()
    assert float4.numbers(raw[:16])[::2].tolist() == MAGNITUDES + [-each for each in MAGNITUDES]


def test_half_a_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="3 elements of float4_e2m1fn_x2 are not 1 bytes"):
        cpu.convert(np.zeros(3, np.float32), np.zeros(1, np.uint8), FLOAT4)
