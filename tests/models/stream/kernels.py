"""Contract of every implementation of the stream, bit for bit.

A suite subclasses `KernelContract` and says how to get words and values; the known answers,
in golden/philox_v1_vectors.json, are normative.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import special

from seedpoint.models.draws import DRAWS, Draw, LogUniform, Normal, TruncNormal, Uniform
from seedpoint.models.stream.key import derive_key
from tests.support.places import GOLDEN

VECTORS = GOLDEN / "philox_v1_vectors.json"
CASES = json.loads(VECTORS.read_text())["cases"]

Key = tuple[int, int]
Words = npt.NDArray[np.uint32]
Bits16 = npt.NDArray[np.uint16]

# The same laws run for every subclass; the first examples of a run may compile or load kernels.
laws = settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)

keys = st.builds(
    derive_key,
    st.integers(0, 2**64 - 1),
    st.text(st.characters(codec="utf-8")),
)
draws = st.integers(0, 2**32 - 1)
lengths = st.integers(0, 5000)
# Near 0, around the first carry into the counter's high word, and anywhere int64 indices go.
starts = st.one_of(
    st.integers(0, 5000),
    st.integers(2**34 - 5000, 2**34 + 5000),
    st.integers(0, 2**63 - 10_000),
)


def log_uniform(a: float, b: float) -> LogUniform:
    return LogUniform.of(*sorted((abs(a), abs(b))))


@st.composite
def sources(draw: st.DrawFn) -> Draw:
    """Any draw that the program accepts, of ordinary and of extreme arguments."""
    number = st.one_of(
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.02, 1e-40, 1e30]),
        st.floats(-10, 10),
        st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
    kinds = [(Uniform.of, 2), (Normal.of, 2), (TruncNormal.of, 4), (log_uniform, 2)]
    make, count = draw(st.sampled_from(kinds))
    try:
        return make(*(draw(number) for _ in range(count)))
    except ValueError:
        assume(False)
        raise


def case_id(case: dict[str, Any]) -> str:
    return f"{case['distribution']}-{case['name']}-{case['draw']}-{case['start']}"


class KernelContract:
    """Subclasses implement `words`, `values` and `bfloat16` of elements [start, stop)."""

    def words(self, key: Key, draw: int, start: int, stop: int) -> Words:
        raise NotImplementedError

    def values(self, source: Draw, key: Key, draw: int, start: int, stop: int) -> Words:
        """The bit patterns of the float32 values."""
        raise NotImplementedError

    def bfloat16(self, source: Draw, key: Key, draw: int, start: int, stop: int) -> Bits16:
        """The bit patterns of the values converted to bfloat16."""
        raise NotImplementedError

    def test_the_zero_counter_and_key_give_the_words_random123_publishes(self) -> None:
        # Random123 1.14, tests/kat_vectors: philox4x32 10, counter and key zero.
        expected = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
        assert self.words((0, 0), 0, 0, 4).tolist() == expected

    @pytest.mark.parametrize("case", CASES, ids=case_id)
    def test_every_known_answer_comes_out_bit_for_bit(self, case: dict[str, Any]) -> None:
        key = derive_key(case["seed"], case["name"])
        where = key, case["draw"], case["start"], case["stop"]
        assert [f"{word:08x}" for word in key] == case["key"]
        if case["distribution"] == "word":
            assert [f"{word:08x}" for word in self.words(*where)] == case["values"]
            return
        source = DRAWS[case["distribution"]].of(**case["args"])
        assert [f"{value:08x}" for value in self.values(source, *where)] == case["values"]
        if "bfloat16" in case:
            assert [f"{value:04x}" for value in self.bfloat16(source, *where)] == case["bfloat16"]

    @laws
    @given(sources(), keys, draws, starts, lengths, st.data())
    def test_a_slice_of_the_whole_is_the_generation_of_the_slice(
        self, source: Draw, key: Key, draw: int, start: int, length: int, data: st.DataObject
    ) -> None:
        low = data.draw(st.integers(0, length), label="low")
        high = data.draw(st.integers(low, length), label="high")
        whole = self.values(source, key, draw, start, start + length)
        part = self.values(source, key, draw, start + low, start + high)
        assert part.tolist() == whole[low:high].tolist()

    @laws
    @given(sources(), keys, draws, starts, lengths, st.lists(st.integers(0, 5000), max_size=8))
    def test_any_chunking_gives_the_same_bytes(
        self, source: Draw, key: Key, draw: int, start: int, length: int, cuts: list[int]
    ) -> None:
        ends = [0, *sorted(min(cut, length) for cut in cuts), length]
        chunks = [
            self.values(source, key, draw, start + a, start + b).tobytes()
            for a, b in pairwise(ends)
        ]
        whole = self.values(source, key, draw, start, start + length)
        assert b"".join(chunks) == whole.tobytes()

    @laws
    @given(sources(), keys, draws, starts, lengths)
    def test_bfloat16_is_the_float32_value_rounded_to_nearest_even(
        self, source: Draw, key: Key, draw: int, start: int, length: int
    ) -> None:
        wide = self.values(source, key, draw, start, start + length).astype(np.uint64)
        rounded = (wide + 0x7FFF + (wide >> 16 & 1)) >> 16
        narrow = self.bfloat16(source, key, draw, start, start + length)
        assert narrow.tolist() == rounded.tolist()

    def test_a_draw_of_nothing_is_nothing(self) -> None:
        for start in (0, 1, 2**34 - 1):
            assert self.words((1, 2), 0, start, start).size == 0
            for source in (Uniform.of(0, 1), Normal.of(0, 1), TruncNormal.of(0, 1, -2, 2)):
                assert self.values(source, (1, 2), 0, start, start).size == 0

    def test_draws_and_names_and_seeds_are_different_streams(self) -> None:
        streams = {
            self.words(derive_key(seed, name), draw, 0, 4).tobytes()
            for seed in (0, 1, 2**64 - 1)
            for name in ("", "a", "b")
            for draw in (0, 1, 2**32 - 1)
        }
        assert len(streams) == 27

    # Words at the ends of the formulas, found by a scan of 2^32 words of ("weight", seed 0).
    @pytest.mark.parametrize(
        ("index", "a", "b", "cosine", "sine"),
        [
            (164675904, 0xFFFFFFFF, 0xB1D8F99D, "00000000", "00000000"),  # u = 1: radius -0
            (1364259540, 0x00000000, 0x8DDA1759, "c0c8ef47", "c00e254f"),  # least u: 6.66 radius
            (1586804980, 0x7CA81306, 0xA0000000, "bf592a47", "bf592a47"),  # t = -pi/4
            (1723719640, 0xEA14DCC1, 0xC0000000, "00000000", "bed8a0f8"),  # t = 0, 3 quarters
            (3112040596, 0xCF8CF412, 0x00000000, "3f25d42f", "00000000"),  # t = 0, no quarter
        ],
    )
    def test_normals_are_right_where_the_formulas_end(
        self, index: int, a: int, b: int, cosine: str, sine: str
    ) -> None:
        key = derive_key(0, "weight")
        assert self.words(key, 0, index, index + 2).tolist() == [a, b]
        pair = self.values(Normal.of(-0.0, 1.0), key, 0, index, index + 2)
        assert [f"{value:08x}" for value in pair] == [cosine, sine]

    def test_uniform_is_the_affine_map_of_its_words(self) -> None:
        key = derive_key(3, "oracle")
        u = (self.words(key, 0, 0, 10_000) >> 8) * 2.0**-24
        values = self.values(Uniform.of(-0.5, 0.25), key, 0, 0, 10_000).view(np.float32)
        assert (values == (np.float32(u) * np.float32(0.75) + np.float32(-0.5))).all()

    def test_normal_is_the_box_muller_of_its_words_in_binary64(self) -> None:
        key = derive_key(3, "oracle")
        a, b = self.words(key, 0, 0, 100_000).reshape(-1, 2).T
        u = (np.float32(a >> 1) + np.float32(0.5)).astype(np.float64) * 2.0**-31
        radius = np.sqrt(-2 * np.log(u))
        angle = 2 * np.pi * b * 2.0**-32
        expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()
        values = self.values(Normal.of(0.0, 1.0), key, 0, 0, 100_000).view(np.float32)
        np.testing.assert_allclose(values, expected, rtol=2e-6, atol=2e-6)

    @pytest.mark.parametrize(("a", "b"), [(-2.0, 2.0), (-100.0, 100.0), (3.0, 100.0)])
    def test_trunc_normal_is_the_inverse_cdf_of_its_words_in_binary64(
        self, a: float, b: float
    ) -> None:
        key = derive_key(3, "oracle")
        source = TruncNormal.of(0.0, 1.0, a, b)
        lo, width = (np.float32(constant) for constant in source.f32[:2])
        u = np.float32(((self.words(key, 0, 0, 100_000) >> 9) + 0.5) * 2.0**-23)
        p = np.clip(u * width + lo, -(1 - 2.0**-24), 1 - 2.0**-24).astype(np.float64)
        expected = np.clip(special.erfinv(p) * np.sqrt(2), a, b)
        values = self.values(source, key, 0, 0, 100_000).view(np.float32)
        np.testing.assert_allclose(values, expected, rtol=2e-5, atol=1e-7)
