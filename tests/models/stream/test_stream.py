"""The stream: keys, words and values, by the reference and by the CPU kernels."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from seedpoint.models.draws import Draw, LogUniform, Normal, TruncNormal, Uniform
from seedpoint.models.stream import cpu, kernels, reference, run_kernels
from seedpoint.models.stream.key import derive_key
from tests.models.stream.kernels import (
    Bits16,
    KernelContract,
    Key,
    Words,
    draws,
    keys,
    laws,
    lengths,
    sources,
    starts,
)
from tests.support.generic_cpu import on_generic_cpu

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_cuda)]
STANDARD: dict[str, Draw] = {
    "uniform": Uniform.of(0.0, 1.0),
    "normal": Normal.of(0.0, 1.0),
    "trunc_normal": TruncNormal.of(0.0, 1.0, -2.0, 2.0),
    "log_uniform": LogUniform.of(0.001, 0.1),
}


class TestReference(KernelContract):
    device = "cpu"

    def words(self, key: Key, draw: int, start: int, stop: int) -> Words:
        return (
            reference.words(key, draw, start, stop, device=self.device).cpu().numpy().astype("u4")
        )

    def values(self, source: Draw, key: Key, draw: int, start: int, stop: int) -> Words:
        return self._tensor(source, key, draw, start, stop).cpu().numpy().view(np.uint32)

    def bfloat16(self, source: Draw, key: Key, draw: int, start: int, stop: int) -> Bits16:
        narrow = self._tensor(source, key, draw, start, stop).to(torch.bfloat16)
        return narrow.view(torch.int16).cpu().numpy().view(np.uint16)

    def _tensor(self, source: Draw, key: Key, draw: int, start: int, stop: int) -> torch.Tensor:
        function = reference.DRAWS[source.type]
        values = function(key, draw, start, stop, source.f32, device=self.device)
        assert values.dtype == torch.float32
        assert values.device.type == self.device
        return values


@needs_cuda
class TestReferenceOnCuda(TestReference):
    device = "cuda"

    @pytest.mark.parametrize("source", STANDARD.values(), ids=STANDARD)
    def test_a_million_values_are_the_cpus_bit_for_bit(self, source: Draw) -> None:
        key = derive_key(11, "million")
        expected = reference.DRAWS[source.type](key, 0, 1, 2**20, source.f32)
        assert (self.values(source, key, 0, 1, 2**20) == expected.numpy().view(np.uint32)).all()


class TestCpu(KernelContract):
    def words(self, key: Key, draw: int, start: int, stop: int) -> Words:
        out = np.empty(stop - start, np.uint32)
        cpu.words(out, key, draw, start)
        return out

    def values(self, source: Draw, key: Key, draw: int, start: int, stop: int) -> Words:
        out = np.empty(stop - start, np.float32)
        cpu.fill(source.type, out, key, draw, start, source.f32)
        return out.view(np.uint32)

    def bfloat16(self, source: Draw, key: Key, draw: int, start: int, stop: int) -> Bits16:
        out = np.empty(stop - start, np.uint16)
        cpu.fill(source.type, out, key, draw, start, source.f32)
        return out

    @laws
    @given(sources(), keys, draws, starts, lengths)
    def test_the_kernels_give_the_reference_bit_for_bit(
        self, source: Draw, key: Key, draw: int, start: int, length: int
    ) -> None:
        function = reference.DRAWS[source.type]
        expected = function(key, draw, start, start + length, source.f32)
        values = self.values(source, key, draw, start, start + length)
        assert values.tolist() == expected.numpy().view(np.uint32).tolist()

    @pytest.mark.parametrize("source", STANDARD.values(), ids=STANDARD)
    def test_a_million_values_are_the_references_bit_for_bit(self, source: Draw) -> None:
        key = derive_key(11, "million")
        expected = reference.DRAWS[source.type](key, 0, 1, 2**20, source.f32)
        assert (self.values(source, key, 0, 1, 2**20) == expected.numpy().view(np.uint32)).all()

    @laws
    @given(keys, draws, starts, lengths)
    def test_the_kernels_words_are_the_references(
        self, key: Key, draw: int, start: int, length: int
    ) -> None:
        expected = reference.words(key, draw, start, start + length)
        assert self.words(key, draw, start, start + length).tolist() == expected.tolist()

    @pytest.mark.parametrize("dtype", [np.float32, np.uint16])
    @pytest.mark.parametrize("source", STANDARD.values(), ids=STANDARD)
    def test_nothing_outside_the_output_is_written(self, source: Draw, dtype: type) -> None:
        guarded: Any = np.full(300, 7, dtype)
        for start in range(9):
            cpu.fill(source.type, guarded[10:-10], (1, 2), 0, start, source.f32)
            assert (guarded[:10] == 7).all()
            assert (guarded[-10:] == 7).all()

    @pytest.mark.parametrize("threads", [1, 2, 5])
    def test_the_number_of_threads_changes_no_byte(self, threads: int) -> None:
        assert digest(threads) == digest(threads=1, chunk=2**16 - 3)

    def test_the_bits_are_those_of_a_cpu_without_wide_vectors(
        self, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        cache = tmp_path_factory.mktemp("numba")
        assert on_generic_cpu(__name__, "digest(2)", cache) == digest(2)

    def test_warming_up_leaves_nothing_to_compile(self) -> None:
        cpu.warm_up()
        entry_points: Any = (kernels.words, *kernels.DRAWS.values(), run_kernels.fill)
        before = [kernel.signatures for kernel in entry_points]
        cpu.words(np.empty(9, np.uint32), (2**32 - 1, 0), 2**32 - 1, 2**63 - 10)
        for dtype in cpu.VALUES:
            for source in STANDARD.values():
                out = np.empty(9, dtype)
                cpu.fill(source.type, out, (5, 6), 1, 3, source.f32)
                cpu.fill(source.type, out, (5, 6), 1, 3, [int(c) for c in source.f32])
        starts = np.array([3, 100])
        for dtype in cpu.RUN_VALUES:
            for source in STANDARD.values():
                cpu.fill_runs(source.type, np.empty(8, dtype), (5, 6), 1, starts, 4, source.f32)
        assert [kernel.signatures for kernel in entry_points] == before

    @pytest.mark.parametrize(
        "out",
        [
            np.empty(8, np.float64),
            np.empty(8, np.uint32),
            np.empty((2, 4), np.float32),
            np.empty(8, np.float32)[::2],
            np.frombuffer(bytes(8), np.float32),
            np.frombuffer(bytearray(9), np.uint8)[1:].view(np.float32),
        ],
        ids=["float64", "uint32", "matrix", "strided", "readonly", "unaligned"],
    )
    def test_an_output_that_cannot_be_filled_in_place_is_refused(self, out: Any) -> None:
        with pytest.raises(ValueError, match="out must be"):
            cpu.fill("uniform", out, (0, 0), 0, 0, (1.0, 0.0))

    @pytest.mark.parametrize(
        ("draw", "start", "fault"),
        [(-1, 0, "draw"), (2**32, 0, "draw"), (0, -1, "start"), (0, 2**63 - 8, "start")],
    )
    def test_numbers_out_of_range_are_refused(self, draw: int, start: int, fault: str) -> None:
        with pytest.raises(ValueError, match=fault):
            cpu.fill("normal", np.empty(8, np.float32), (0, 0), draw, start, (1.0, 0.0))


def digest(threads: int, chunk: int = 2**15) -> str:
    """A hash of 300000 elements of every distribution and type, by chunks on `threads`."""
    total = hashlib.sha256()
    for dtype in cpu.VALUES:
        for source in (*STANDARD.values(), TruncNormal.of(0.1, 0.5, 1.8, 7.0)):
            out = np.empty(300_000, dtype)
            fill(out, source, threads, chunk)
            total.update(out.tobytes())
    return total.hexdigest()


def fill(out: Any, source: Draw, threads: int, chunk: int) -> None:
    together = threading.Barrier(threads)

    def work(thread: int) -> None:
        together.wait()
        for start in range(thread * chunk, len(out), chunk * threads):
            part = out[start : start + chunk]
            cpu.fill(source.type, part, (123, 456), 2, 77 + start, source.f32)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


class TestKey:
    def test_it_is_the_head_of_the_sha256_that_the_stream_names(self) -> None:
        hashed = hashlib.sha256(b"philox-v1\x00" + (42).to_bytes(8, "little") + "层.w".encode())
        head = hashed.digest()[:8]
        expected = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:], "little")
        assert derive_key(42, "层.w") == expected

    @pytest.mark.parametrize("seed", [-1, 2**64])
    def test_a_seed_outside_64_bits_is_refused(self, seed: int) -> None:
        with pytest.raises(ValueError, match="seed must be in"):
            derive_key(seed, "weight")

    def test_a_name_without_utf8_is_refused(self) -> None:
        with pytest.raises(ValueError, match="utf-8"):
            derive_key(0, "\ud800")

    @given(st.text(max_size=3), st.text(max_size=3))
    def test_names_that_only_look_alike_are_different(self, a: str, b: str) -> None:
        if a != b:
            assert derive_key(0, a) != derive_key(0, b)


@pytest.mark.parametrize("device", DEVICES)
class TestFormulas:
    @pytest.mark.parametrize(
        ("counter", "key", "expected"),
        [
            ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
            (
                (2**32 - 1,) * 4,
                (2**32 - 1,) * 2,
                (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
            ),
            (
                (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
                (0xA4093822, 0x299F31D0),
                (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
            ),
        ],
    )
    def test_philox_gives_the_known_answers_of_random123(
        self, counter: tuple[int, ...], key: Key, expected: tuple[int, ...], device: str
    ) -> None:
        lanes = [torch.tensor([word], device=device) for word in counter]
        assert tuple(lane.item() for lane in reference.philox(lanes, key)) == expected

    def test_ln_is_within_two_units_in_the_last_place(self, device: str) -> None:
        x = torch.linspace(2.0**-32, 1.0, 1_000_001, device=device)
        x = torch.cat([x, torch.logspace(-9.6, 0, 100_001, device=device)])
        exact = np.log(x.cpu().numpy().astype(np.float64))
        off = np.abs(reference.ln(x).cpu().numpy() - exact)
        assert (off <= 2 * np.spacing(np.abs(exact).astype(np.float32))).all()

    def test_ln_of_one_is_zero(self, device: str) -> None:
        assert reference.ln(torch.ones(1, device=device)).item() == 0.0

    def test_turns_are_near_cosine_and_sine_everywhere(self, device: str) -> None:
        b = torch.arange(0, 2**32, 4093, device=device)
        angle = b.cpu().numpy() * (2 * np.pi * 2.0**-32)
        cos, sin = (part.cpu().numpy() for part in reference.turn(b))
        assert np.abs(cos - np.cos(angle)).max() < 2e-7
        assert np.abs(sin - np.sin(angle)).max() < 2e-7

    def test_erfinv_is_near_scipys_up_to_its_last_argument(self, device: str) -> None:
        last = 1 - 2.0**-24
        p = torch.linspace(-last, last, 1_000_001, device=device)
        p = torch.cat([p, 1 - torch.logspace(-7, 0, 10_001, device=device), -p[:1]])
        p = p.clamp(-last, last)
        expected = special.erfinv(p.cpu().numpy().astype(np.float64))
        np.testing.assert_allclose(reference.erfinv(p).cpu().numpy(), expected, rtol=1e-5)


class TestDistributions:
    """A fixed key, so these either always pass or never do."""

    COUNT = 2**20
    KEY = derive_key(2024, "distribution")

    @pytest.mark.parametrize(
        ("source", "law"),
        [
            (Uniform.of(-0.25, 0.75), stats.uniform(-0.25, 1.0)),
            (Normal.of(1.0, 0.02), stats.norm(1.0, 0.02)),
            (TruncNormal.of(0.0, 1.0, -2.0, 2.0), stats.truncnorm(-2, 2)),
            (TruncNormal.of(0.5, 0.1, 0.6, 2.0), stats.truncnorm(1, 15, 0.5, 0.1)),
            (TruncNormal.of(0.0, 0.02, -2.0, 2.0), stats.norm(0.0, 0.02)),
            (LogUniform.of(0.001, 0.1), stats.loguniform(0.001, 0.1)),
        ],
        ids=["uniform", "normal", "two-sided", "one-sided", "unbounded", "log_uniform"],
    )
    def test_values_follow_their_law_by_kolmogorov_and_smirnov(
        self, source: Draw, law: stats.rv_continuous
    ) -> None:
        assert stats.kstest(self.values(source), law.cdf).pvalue > 0.01

    def test_neighbours_pairs_and_draws_are_uncorrelated(self) -> None:
        z = self.values(Normal.of(0.0, 1.0))
        other = self.values(Normal.of(0.0, 1.0), draw=1)
        for x, y in [(z[:-k], z[k:]) for k in (1, 2, 3, 4)] + [
            (z[::2], z[1::2]),
            (z[::2] ** 2, z[1::2] ** 2),
            (z, other),
        ]:
            assert abs(np.corrcoef(x, y)[0, 1]) < 5 / np.sqrt(len(x))

    def test_truncated_values_stay_inside_their_bounds(self) -> None:
        values = self.values(TruncNormal.of(0.1, 0.5, 0.0, 0.3))
        assert values.min() >= 0.0
        assert values.max() <= np.float32(0.3)

    def values(self, source: Draw, draw: int = 0) -> np.ndarray:
        out = np.empty(self.COUNT, np.float32)
        cpu.fill(source.type, out, self.KEY, draw, 0, source.f32)
        return out.astype(np.float64)
