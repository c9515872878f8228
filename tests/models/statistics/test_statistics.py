"""Accumulated statistics: the same bits however blocks come, and NumPy's numbers."""

from __future__ import annotations

import json
import math
import threading

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seedpoint.models.draws import Normal, Uniform
from seedpoint.models.dtypes import BY_NAME, DTYPES
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import Constant, Materialized, Program
from seedpoint.models.statistics.accumulator import (
    BLOCK_ELEMENTS,
    MEASURED,
    TensorAccumulator,
    summary,
    widened,
)
from seedpoint.models.statistics.checkpoint import CheckpointStatistics
from seedpoint.models.statistics.grids import numbers
from tests.support.converted import converted

F32, F64 = BY_NAME["float32"], BY_NAME["float64"]
SAMPLE = 1 << 20


def filled(values, dtype=F32, order=None):
    """An accumulator that has been given all blocks of `values`, in `order`."""
    accumulator = TensorAccumulator(len(values), dtype)
    blocks = -(-len(values) // BLOCK_ELEMENTS)
    for index in range(blocks) if order is None else order:
        accumulator.add_block(index, block(values, index))
    return accumulator


def block(values, index, count=1):
    return values[index * BLOCK_ELEMENTS : (index + count) * BLOCK_ELEMENTS]


def bits(result):
    """A result to the last bit: Python's shortest decimal form is exact."""
    return json.dumps(result, allow_nan=False)


NORMAL = np.random.default_rng(0).normal(0.5, 2.0, 13 * BLOCK_ELEMENTS + 777).astype(np.float32)
BLOCKS = 14


@pytest.mark.parametrize("size", [1, 7, 1000, BLOCK_ELEMENTS, BLOCK_ELEMENTS + 1, len(NORMAL)])
def test_results_are_numpys(size):
    values = NORMAL[:size]
    x = values.astype(np.float64)
    result = filled(values).result()
    near = {"rel": 1e-12, "abs": 1e-14}
    assert tuple(result) == MEASURED
    assert result["numel"] == size
    assert result["mean"] == pytest.approx(x.mean(), **near)
    assert result["std"] == pytest.approx(x.std(), **near)
    assert result["rms"] == pytest.approx(math.sqrt((x * x).mean()), **near)
    assert result["l2"] == pytest.approx(np.linalg.norm(x), **near)
    assert (result["min"], result["max"]) == (x.min(), x.max())
    assert result["abs_max"] == np.abs(x).max()
    assert (result["nan_count"], result["inf_count"], result["zero_fraction"]) == (0, 0, 0)
    if size > 1:
        assert result["kurtosis"] == pytest.approx(scipy.stats.kurtosis(x), rel=1e-11, abs=1e-11)


@settings(max_examples=15)
@given(st.permutations(range(BLOCKS)))
def test_any_order_of_arrival_gives_the_same_bits(order):
    assert bits(filled(NORMAL, order=order).result()) == bits(filled(NORMAL).result())


@settings(max_examples=15)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.randoms())
def test_any_cut_into_runs_of_blocks_gives_the_same_bits(cuts, random):
    runs, start = [], 0
    while start < BLOCKS:
        count = min(cuts[len(runs) % len(cuts)], BLOCKS - start)
        runs.append((start, count))
        start += count
    random.shuffle(runs)
    accumulator = TensorAccumulator(len(NORMAL), F32)
    for start, count in runs:
        accumulator.add_block(start, block(NORMAL, start, count))
    assert bits(accumulator.result()) == bits(filled(NORMAL).result())


@pytest.mark.parametrize("threads", [2, 7])
def test_any_number_of_threads_gives_the_same_bits(threads):
    accumulator = TensorAccumulator(len(NORMAL), F32)

    def work(first):
        for index in range(first, BLOCKS, threads):
            accumulator.add_block(index, block(NORMAL, index))

    workers = [threading.Thread(target=work, args=(first,)) for first in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert bits(accumulator.result()) == bits(filled(NORMAL).result())


def test_few_summaries_wait_while_blocks_come_in_order():
    blocks = 1000
    accumulator = TensorAccumulator(blocks * BLOCK_ELEMENTS, F32)
    values = NORMAL[:BLOCK_ELEMENTS]
    for index in range(blocks):
        accumulator.add_block(index, values)
        assert accumulator.waiting_blocks <= 10
        assert accumulator.sampled_elements <= SAMPLE
    assert accumulator.done
    assert accumulator.waiting_blocks == accumulator.sampled_elements == 0
    assert accumulator.result()["numel"] == blocks * BLOCK_ELEMENTS


def test_blocks_are_not_kept():
    buffer = np.empty(BLOCK_ELEMENTS, np.float32)
    accumulator = TensorAccumulator(len(NORMAL), F32)
    for index in range(BLOCKS):
        piece = block(NORMAL, index)
        buffer[: len(piece)] = piece
        accumulator.add_block(index, buffer[: len(piece)])
        buffer[:] = np.nan
    assert bits(accumulator.result()) == bits(filled(NORMAL).result())


def test_a_histogram_counts_every_element_up_to_a_million():
    counted = filled(NORMAL).result()["histogram"]
    assert counted["sampled"] == counted["of"] == sum(counted["bins"]) == len(NORMAL)
    assert (counted["min"], counted["max"]) == (NORMAL.min(), NORMAL.max())
    oracle = torch.histc(torch.from_numpy(NORMAL).double(), 64).numpy()
    assert np.abs(np.cumsum(counted["bins"]) - np.cumsum(oracle)).max() <= 2


def test_a_larger_tensor_is_counted_in_sixteen_even_blocks():
    blocks = 37
    values = np.arange(blocks, dtype=np.float32).repeat(BLOCK_ELEMENTS)
    counted = filled(values).result()["histogram"]
    assert counted["sampled"] == sum(counted["bins"]) == SAMPLE
    assert counted["of"] == len(values)
    chosen = [number * blocks // 16 for number in range(16)]
    oracle = np.histogram(np.repeat(chosen, BLOCK_ELEMENTS), 64, (0, blocks - 1))[0]
    assert counted["bins"] == oracle.tolist()


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.is_floating], ids=str)
def test_every_floating_dtype_is_seen_exactly(dtype):
    values = converted(torch.linspace(0.25, 3, 5000), dtype)
    raw = values.view(torch.uint8)
    seen = widened(raw.numpy(), dtype)
    result = filled(seen, dtype).result()
    x = numbers(raw, dtype).double().numpy() if dtype.is_narrow else values.double().numpy()
    assert result["mean"] == pytest.approx(x.mean(), rel=1e-13)
    assert result["std"] == pytest.approx(x.std(), rel=1e-12)
    assert (result["min"], result["max"]) == (x.min(), x.max())
    assert sum(result["histogram"]["bins"]) == 5000


def test_bfloat16_bits_and_their_float32_values_give_the_same_bits():
    values = torch.from_numpy(NORMAL).bfloat16()
    from_bits = filled(widened(values.view(torch.uint8).numpy(), BY_NAME["bfloat16"]))
    assert bits(from_bits.result()) == bits(filled(values.float().numpy()).result())


def test_a_constant_has_no_spread_and_no_kurtosis():
    result = filled(np.full(100_000, 0.1, np.float32)).result()
    value = float(np.float32(0.1))
    assert (result["mean"], result["std"], result["kurtosis"]) == (value, 0.0, None)
    assert result["histogram"]["bins"] == [100_000] + [0] * 63


def test_zeros_are_counted():
    values = NORMAL[:1000].copy()
    values[::4] = 0
    values[1] = -0.0
    assert filled(values).result()["zero_fraction"] == 0.251


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_leave_counts_and_the_histogram_of_the_others(bad):
    values = NORMAL.copy()
    values[100], values[400_000] = bad, bad
    result = filled(values).result()
    undefined = ("mean", "std", "rms", "min", "max", "abs_max", "l2", "kurtosis")
    assert [result[key] for key in undefined] == [None] * 8
    assert result["nan_count"] + result["inf_count"] == 2
    assert result["histogram"]["sampled"] == len(values) - 2 == sum(result["histogram"]["bins"])
    assert result["histogram"]["min"] == NORMAL.min()
    bits(result)


def test_bfloat16_that_is_not_finite_is_counted():
    values = torch.tensor([1.0, math.nan, math.inf, 2.0]).bfloat16()
    result = filled(widened(values.view(torch.uint8).numpy(), BY_NAME["bfloat16"])).result()
    assert (result["nan_count"], result["inf_count"]) == (1, 1)
    assert result["histogram"]["sampled"] == 2


def test_nothing_finite_has_no_histogram():
    assert filled(np.full(10, np.nan, np.float32)).result()["histogram"] is None


def test_an_empty_tensor_has_only_counts():
    result = TensorAccumulator(0, F32).result()
    assert result["numel"] == result["nan_count"] == result["inf_count"] == 0
    assert all(result[key] is None for key in MEASURED[1:] if not key.endswith("_count"))


@pytest.mark.parametrize(
    ("numel", "index", "size"),
    [
        (BLOCK_ELEMENTS * 2, 0, 5),
        (BLOCK_ELEMENTS * 2, 1, BLOCK_ELEMENTS + 1),
        (BLOCK_ELEMENTS * 2, 2, BLOCK_ELEMENTS),
        (BLOCK_ELEMENTS * 2, -1, BLOCK_ELEMENTS),
        (100, 0, 99),
        (100, 0, 0),
    ],
)
def test_what_is_not_whole_blocks_is_refused(numel, index, size):
    with pytest.raises(ValueError, match="not whole blocks"):
        TensorAccumulator(numel, F32).add_block(index, np.zeros(size, np.float32))


def test_a_block_that_comes_twice_is_refused():
    accumulator = TensorAccumulator(3 * BLOCK_ELEMENTS, F32)
    accumulator.add_block(1, NORMAL[:BLOCK_ELEMENTS])
    with pytest.raises(ValueError, match="block 1 has come before"):
        accumulator.add_block(1, NORMAL[:BLOCK_ELEMENTS])
    done = filled(NORMAL[:100])
    with pytest.raises(ValueError, match="twice"):
        done.add_block(0, NORMAL[:100])


def test_a_result_before_the_last_block_is_refused():
    accumulator = TensorAccumulator(2 * BLOCK_ELEMENTS, F32)
    accumulator.add_block(1, NORMAL[:BLOCK_ELEMENTS])
    with pytest.raises(ValueError, match="not every block"):
        accumulator.result()


@settings(max_examples=25)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=6), st.floats(-5, 5))
def test_merged_tensors_are_their_concatenation(sizes, shift):
    parts = [
        (np.random.default_rng(k).normal(shift * k, 1 + k, size)) for k, size in enumerate(sizes)
    ]
    whole = np.concatenate(parts)
    merged = summary([filled(part, F64) for part in parts])
    oracle = filled(whole, F64).result()
    assert merged.keys() == oracle.keys()
    for key in set(MEASURED) - {"histogram"}:
        near = None if oracle[key] is None else pytest.approx(oracle[key], rel=1e-10, abs=1e-12)
        assert merged[key] == near, key
    if len(whole):
        counted = merged["histogram"]
        assert sum(counted["bins"]) == counted["of"] == len(whole)
        assert (counted["min"], counted["max"]) == (whole.min(), whole.max())
        edges = np.linspace(whole.min(), whole.max(), 65)
        below = np.cumsum(counted["bins"])
        at_least = np.searchsorted(np.sort(whole), edges[:-1], "left")
        at_most = np.searchsorted(np.sort(whole), [*edges[2:], math.inf], "right")
        assert (below >= at_least - 1).all()  # no element is more than one bin off
        assert (below <= at_most + 1).all()


def test_a_merged_histogram_weighs_a_sample_by_its_tensor():
    large = np.random.default_rng(0).uniform(0, 1, 3 * SAMPLE).astype(np.float32)
    small = np.random.default_rng(1).uniform(1, 2, SAMPLE).astype(np.float32)
    counted = summary([filled(large), filled(small)])["histogram"]
    assert counted["estimated"] is True
    assert counted["sampled"] == 2 * SAMPLE
    assert counted["of"] == sum(counted["bins"]) == 4 * SAMPLE
    assert sum(counted["bins"][:32]) == pytest.approx(3 * SAMPLE, rel=1e-3)


def tensor(name, shape, program, dtype="float32", kind="parameter", **more):
    return PlanTensor(name, shape, BY_NAME[dtype], kind, "Linear", Program(program), **more)


PLAN = Plan(
    seed=3,
    generator="philox-v1",
    spec={},
    tensors=(
        tensor("scale", (), Constant(2.0)),
        tensor("a.weight", (300, 400), Normal.of(0.0, 0.5), aliases=("head.weight",), rule=0),
        tensor("a.bias", (400,), Constant(0.0)),
        tensor("b.0.weight", (50, 7), Uniform.of(-1, 1), dtype="bfloat16"),
        tensor("b.0.steps", (), Constant(0), dtype="int64", kind="buffer"),
        tensor("b.1.mask", (4, 4), Constant(True), dtype="bool", kind="buffer"),
        tensor("b.1.empty", (0, 4), Normal.of(0, 1)),
    ),
)


@pytest.fixture(scope="module")
def statistics():
    """PLAN's statistics, generated and observed."""
    gathered = CheckpointStatistics(PLAN)
    evaluator = Evaluator(PLAN)
    for number, planned in enumerate(PLAN.tensors):
        observer = gathered.observers.get(planned.name)
        out = np.empty(planned.nbytes, np.uint8)
        evaluator.fill(number, 0, planned.numel, out, observer)
    return gathered


def test_a_checkpoints_document_is_json_of_tensors_layers_and_totals(statistics):
    document = json.loads(bits(statistics.document()))
    assert list(document) == ["tensors", "layers", "totals"]
    assert list(document["tensors"]) == [planned.name for planned in PLAN.tensors]
    weight = document["tensors"]["a.weight"]
    assert weight["shape"] == [300, 400]
    assert (weight["dtype"], weight["rule"], weight["numel"]) == ("F32", 0, 120_000)
    assert weight["program"] == {"type": "normal", "mean": 0.0, "std": 0.5}
    assert weight["expected"] == {"mean": 0.0, "std": 0.5}
    assert weight["pass"] is True
    assert abs(weight["z"]["std"]) < 4


def test_a_layer_merges_its_own_tensors_and_tied_ones(statistics):
    layers = statistics.document()["layers"]
    assert list(layers) == ["", "a", "head", "b.0", "b.1"]
    assert layers["a"]["tensors"] == ["a.weight", "a.bias"]
    assert layers["a"]["numel"] == 120_400
    assert layers["head"]["tensors"] == ["a.weight"]
    assert layers["a"]["l2"] == pytest.approx(layers["head"]["l2"])
    assert layers["b.0"]["numel"] == 350  # the integers are not seen
    assert layers["b.1"]["mean"] is None
    assert layers[""]["mean"] == 2.0


def test_a_container_holds_each_tensor_below_it_once(statistics):
    whole = statistics.container("")
    assert whole["numel"] == 1 + 120_000 + 400 + 350
    assert statistics.container("b")["tensors"] == [
        "b.0.weight", "b.0.steps", "b.1.mask", "b.1.empty",
    ]  # fmt: skip
    assert statistics.container("a")["l2"] == pytest.approx(statistics.container("head")["l2"])


def test_integers_and_empty_tensors_show_nothing_but_known_ones_are_compared(statistics):
    tensors = statistics.document()["tensors"]
    for name, passed in (("b.0.steps", True), ("b.1.mask", True), ("b.1.empty", None)):
        assert tensors[name]["mean"] is None
        assert tensors[name]["pass"] is passed
    assert tensors["b.1.mask"]["numel"] == 16


def test_totals_count_elements_bytes_and_verdicts(statistics):
    totals = statistics.document()["totals"]
    assert totals["parameters"] == 1 + 120_000 + 400 + 350
    assert totals["buffers"] == 17
    assert totals["by_dtype"] == {"F32": 4 * 120_401, "BF16": 700, "I64": 8, "BOOL": 16}
    assert totals["bytes"] == sum(totals["by_dtype"].values())
    assert (totals["passed"], totals["failed"], totals["unjudged"]) == (6, 0, 1)
    assert (totals["nan_count"], totals["inf_count"]) == (0, 0)


def test_a_materialized_tensor_is_judged_by_what_it_was_drawn_from():
    program = Materialized(Program(Normal.of(0.0, 1.0)))
    plan = Plan(0, "torch", {}, (tensor("w", (500, 500), program),))
    gathered = CheckpointStatistics(plan)
    values = torch.randn(250_000, generator=torch.Generator().manual_seed(0)).numpy()
    for index in range(4):
        gathered.accumulators["w"].add_block(index, block(values, index))
    found = gathered.document()["tensors"]["w"]
    assert found["pass"] is True
    assert found["program"]["type"] == "normal"
