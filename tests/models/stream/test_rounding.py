"""Conversion to the narrow floating types: ours, of which PyTorch 2.13's is the oracle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from seedpoint.models.draws import Draw, Normal, TruncNormal, Uniform
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.stream import cpu, reference, rounding
from seedpoint.models.stream.float4 import FLOAT4
from seedpoint.models.stream.formats import EXPONENT, FORMATS
from seedpoint.models.stream.key import derive_key

Floats = npt.NDArray[np.float32]
Patterns = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Convert = Callable[[Floats, str], Patterns]

NARROW = [*(dtype for dtype in FORMATS if dtype != FLOAT4), EXPONENT]  # that PyTorch converts to
INFINITY = 0x7F80_0000
STRIDE = 4099  # a prime: every exponent, and every place of a mantissa


def numbers(bits: npt.NDArray[np.uint64]) -> Floats:
    """The float32 values with these bits and either sign, NaN left out."""
    found = bits[bits <= INFINITY].astype(np.uint32)
    return np.concatenate([found, found | np.uint32(1 << 31)]).view(np.float32)


def sampled() -> Floats:
    return numbers(np.arange(0, INFINITY + 1, STRIDE, dtype=np.uint64))


def edges() -> Floats:
    """Every value between two neighbours of 8 and 11 bits of mantissa, and what is beside it."""
    places = np.arange(0, INFINITY + 1, 1 << 12, dtype=np.int64)
    around = (places[:, None] + np.array([-1, 0, 1])).ravel()
    return numbers(around[around >= 0].astype(np.uint64))


def by_kernel(values: Floats, dtype: str) -> Patterns:
    size = BY_NAME[dtype].itemsize
    out = np.empty(len(values) * size, np.uint8)
    cpu.convert(values, out, dtype)
    return out.view(f"u{size}")


def by_reference(values: Floats, dtype: str) -> Patterns:
    found: Patterns = reference.convert(torch.from_numpy(values), dtype).numpy()
    return found


def by_torch(values: Floats, dtype: str) -> Patterns:
    size = BY_NAME[dtype].itemsize
    made = torch.from_numpy(values).to(BY_NAME[dtype].torch)
    found: Patterns = made.view(torch.uint8).numpy().view(f"u{size}")
    return found


BOTH = pytest.mark.parametrize("convert", [by_kernel, by_reference], ids=["kernel", "reference"])


@BOTH
@pytest.mark.parametrize("dtype", NARROW)
def test_every_number_is_converted_as_pytorch_does(convert: Convert, dtype: str) -> None:
    for values in (sampled(), edges()):
        assert np.array_equal(convert(values, dtype), by_torch(values, dtype))


@BOTH
@pytest.mark.parametrize(
    ("dtype", "nan"),
    [
        ("bfloat16", 0x7FC0),
        ("float16", 0x7E00),
        ("float8_e4m3fn", 0x7F),
        ("float8_e5m2", 0x7F),
        ("float8_e4m3fnuz", 0x80),
        ("float8_e5m2fnuz", 0x80),
        ("float8_e8m0fnu", 0xFF),
    ],
)
def test_every_nan_becomes_the_one_pattern(convert: Convert, dtype: str, nan: int) -> None:
    payloads = np.r_[INFINITY + 1 : 1 << 31 : 99_991, INFINITY + 1, (1 << 31) - 1]
    bits = np.concatenate([payloads, payloads | 1 << 31]).astype(np.uint32)
    assert set(convert(bits.view(np.float32), dtype).tolist()) == {nan}
    assert (
        torch.from_numpy(np.array([nan], f"u{BY_NAME[dtype].itemsize}"))
        .view(BY_NAME[dtype].torch)
        .isnan()
    )


@BOTH
@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        # The first number that rounds past the largest, and the last that does not.
        *(("float16", 65520.0, 0x7C00), ("float16", 65519.996, 0x7BFF)),
        *(("float16", -np.inf, 0xFC00), ("float16", 2.0**-25, 0), ("float16", 2.0**-24, 1)),
        *(("bfloat16", 3.4e38, 0x7F80), ("bfloat16", -np.inf, 0xFF80)),
        *(("bfloat16", 1e-40, 1), ("bfloat16", 1.00390625, 0x3F80)),
        *(("float8_e5m2", 61440.0, 0x7C), ("float8_e5m2", 61439.996, 0x7B)),
        *(("float8_e5m2", -np.inf, 0xFC), ("float8_e5m2", 2.0**-17, 0)),
        # Without infinities: 448 of the sign, as PyTorch's cast gives since 2026; NaN before.
        *(("float8_e4m3fn", 464.0, 0x7E), ("float8_e4m3fn", 465.0, 0x7E)),
        *(("float8_e4m3fn", 1e30, 0x7E), ("float8_e4m3fn", np.inf, 0x7E)),
        *(("float8_e4m3fn", -465.0, 0xFE), ("float8_e4m3fn", -np.inf, 0xFE)),
        *(("float8_e4m3fn", 2.0**-10, 0), ("float8_e4m3fn", 3 * 2.0**-10, 2)),
    ],
)
def test_the_ends_of_each_type(convert: Convert, dtype: str, value: float, expected: int) -> None:
    (found,) = convert(np.array([value], np.float32), dtype).tolist()
    assert found == expected


@pytest.mark.parametrize("dtype", rounding.ARRAYS)
@pytest.mark.parametrize(
    "source",
    [
        *(Uniform.of(-1e-4, 1e-4), Uniform.of(-500, 500), Normal.of(0, 1)),
        *(Normal.of(0, 1e-6), Normal.of(0, 3e4), Normal.of(0, 3e38)),
        TruncNormal.of(0, 200, -900, 460),
    ],
    ids=str,
)
def test_a_draw_into_patterns_is_the_drawn_values_converted(dtype: str, source: Draw) -> None:
    key = derive_key(7, "weight")
    for start, size in ((0, 20_001), (3, 1), (2**34 - 5, 11)):
        wide, narrow = np.empty(size, np.float32), np.empty(size, rounding.ARRAYS[dtype])
        cpu.fill(source.type, wide, key, 0, start, source.f32)
        cpu.fill(source.type, narrow, key, 0, start, source.f32)
        assert narrow.tobytes() == by_reference(wide, dtype).tobytes()


def test_an_output_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="3 elements of float16 are not 5 bytes"):
        cpu.convert(np.zeros(3, np.float32), np.empty(5, np.uint8), "float16")
    with pytest.raises(KeyError):
        cpu.convert(np.zeros(3, np.float32), np.empty(12, np.uint8), "float32")
