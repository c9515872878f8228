"""Any element range of any program, and any byte range of any file."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from seedpoint.models.draws import Normal, TruncNormal, Uniform
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.files.layout import layout
from seedpoint.models.generation.device_draws import ReferenceDraws
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.generation.whole_tensors import MemoryCache, Wholes
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import (
    Add,
    Clamp,
    Constant,
    Dirac,
    Eye,
    FillRegion,
    HardThreshold,
    Literal,
    Orthogonal,
    Part,
    Program,
    Scale,
    SetElement,
    Source,
    Sparse,
    Split,
    Transform,
    ZeroRows,
)
from seedpoint.models.statistics.accumulator import BLOCK_ELEMENTS

Shape = tuple[int, ...]


def tensor(
    program: Program | Source, shape: Shape, dtype: str = "float32", name: str = "w"
) -> PlanTensor:
    program = program if isinstance(program, Program) else Program(program)
    return PlanTensor(name, shape, BY_NAME[dtype], "parameter", "", program)


def evaluator(*tensors: PlanTensor, blobs: dict[str, bytes] | None = None) -> Evaluator:
    return Evaluator(Plan(42, "philox-v1", {}, tensors), blobs)


def values(
    found: Evaluator, index: int = 0, start: int | None = None, stop: int | None = None
) -> torch.Tensor:
    """The whole tensor in its shape, or elements [start, stop) flat."""
    planned = found.plan.tensors[index]
    whole = start is None
    start = start or 0
    stop = planned.numel if stop is None else stop
    flat = torch.empty(stop - start, dtype=planned.dtype.torch)
    found.fill(index, start, stop, flat.view(torch.uint8).numpy())
    return flat.view(planned.shape) if whole else flat


def bits(value: torch.Tensor) -> bytes:
    return value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def literal(array: np.ndarray[Any, Any], dtype: str) -> tuple[Literal, dict[str, bytes]]:
    raw = array.tobytes()
    digest = hashlib.sha256(raw).hexdigest()
    return Literal(digest, dtype), {digest: raw}


shapes = st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple)
draws = st.sampled_from(
    [Uniform.of(-1, 3), Normal.of(0.5, 2), TruncNormal.of(0, 1, -2, 2), Constant(0.3), Eye()]
)


def transforms_of(shape: Shape) -> st.SearchStrategy[list[Transform]]:
    rows = st.lists(st.integers(0, shape[0] - 1), min_size=1, unique=True).map(
        lambda found: ZeroRows(tuple(sorted(found)))
    )
    index = st.tuples(*(st.integers(0, size - 1) for size in shape))
    box = st.tuples(
        *(
            st.tuples(st.integers(0, size - 1), st.integers(1, size), st.integers(1, 3))
            for size in shape
        )
    )
    return st.lists(
        st.one_of(
            st.just(Scale(1.5)),
            st.just(Add(0.1)),
            st.just(Clamp(-0.5, None)),
            st.just(HardThreshold(0.7)),
            rows,
            index.map(lambda found: SetElement(found, 100.0)),
            box.map(lambda found: FillRegion(found, -7.0)),
        ),
        max_size=4,
    )


def naive(base: torch.Tensor, transforms: Sequence[Transform]) -> torch.Tensor:
    """The transforms on a whole tensor, in plain torch."""
    x = base.clone()
    for t in transforms:
        match t:
            case Scale(value=value):
                x = x * torch.tensor(value)
            case Add(value=value):
                x = x + torch.tensor(value)
            case Clamp(min=low, max=high):
                x = x.clamp(low, high)
            case HardThreshold(value=value):
                x = torch.where(x.abs() >= torch.tensor(value), x, x * 0)
            case ZeroRows(rows=rows):
                x[list(rows)] = 0
            case SetElement(index=index, value=value):
                x[index] = value
            case FillRegion(region=region, value=value):
                x[tuple(slice(*box) for box in region)] = value
    return x


@given(st.data())
def test_transforms_are_what_torch_does(data: st.DataObject) -> None:
    shape = data.draw(shapes)
    transforms = tuple(data.draw(transforms_of(shape)))
    source = data.draw(draws.filter(lambda found: found.type != "eye" or len(shape) == 2))
    base = values(evaluator(tensor(source, shape)))
    found = values(evaluator(tensor(Program(source, transforms), shape)))
    assert bits(found) == bits(naive(base, transforms))


@given(st.data())
def test_a_slice_of_the_whole_is_the_generation_of_the_slice(data: st.DataObject) -> None:
    shape = data.draw(shapes)
    axis = data.draw(st.integers(0, len(shape) - 1))
    parts = tuple(Part(1, Program(Normal.of(0, k + 1))) for k in range(shape[axis]))
    source = data.draw(st.one_of(draws, st.just(Split(axis, parts))))
    if source.type == "eye" and len(shape) != 2:
        return
    program = Program(source, tuple(data.draw(transforms_of(shape))))
    dtype = data.draw(st.sampled_from(["float32", "bfloat16", "float16", "float64"]))
    found = evaluator(tensor(program, shape, dtype))
    start = data.draw(st.integers(0, math.prod(shape)))
    stop = data.draw(st.integers(start, math.prod(shape)))
    assert bits(values(found).reshape(-1)[start:stop]) == bits(values(found, 0, start, stop))


def test_ranges_across_blocks_join_without_a_seam() -> None:
    size = 2 * BLOCK_ELEMENTS + 1001
    program = Program(Normal.of(0, 1), (Scale(2.0),))
    found = evaluator(tensor(program, (size,)), tensor(Normal.of(0, 1), (size,), name="v"))
    for index in range(2):
        whole = values(found, index)
        cut = [0, 17, BLOCK_ELEMENTS - 1, BLOCK_ELEMENTS + 5, 2 * BLOCK_ELEMENTS, size]
        pieces = [values(found, index, a, b) for a, b in pairwise(cut)]
        assert bits(torch.cat(pieces)) == bits(whole)


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (1, 4), (4, 1)])
def test_eye_is_torchs(shape: Shape) -> None:
    found = evaluator(tensor(Eye(), shape))
    assert torch.equal(values(found), torch.eye(*shape))
    for start in range(math.prod(shape)):
        assert torch.equal(values(found, 0, start), torch.eye(*shape).reshape(-1)[start:])


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((4, 4, 3), 1), ((6, 2, 3), 3), ((6, 4, 2, 3), 2), ((2, 8, 3, 3, 4), 1), ((8, 2, 1), 1)],
)
def test_dirac_is_torchs(shape: Shape, groups: int) -> None:
    found = evaluator(tensor(Dirac(groups), shape))
    expected = nn.init.dirac_(torch.empty(shape), groups)
    assert torch.equal(values(found), expected)
    for start in range(0, math.prod(shape), 5):
        assert torch.equal(values(found, 0, start), expected.reshape(-1)[start:])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_part_named_as_the_unfused_tensor_equals_it(axis: int) -> None:
    shape, sizes = [6, 6, 6], [1, 2, 3]
    names = ["q.weight", "k.weight", "v.weight"]
    programs = [Uniform.of(-k, k, stream=name) for k, name in enumerate(names, start=1)]
    parts = tuple(Part(s, Program(p)) for s, p in zip(sizes, programs, strict=True))
    fused = values(evaluator(tensor(Split(axis, parts), tuple(shape))))
    for piece, size, name, k in zip(fused.split(sizes, axis), sizes, names, (1, 2, 3), strict=True):
        shape[axis] = size
        alone = values(evaluator(tensor(Uniform.of(-k, k), tuple(shape), name=name)))
        assert torch.equal(piece, alone)


def test_parts_without_a_name_have_streams_of_their_own() -> None:
    parts = (Part(2, Program(Normal.of(0, 1))), Part(2, Program(Normal.of(0, 1))))
    whole = values(evaluator(tensor(Split(0, parts), (4, 3))))
    alone = values(evaluator(tensor(Normal.of(0, 1), (2, 3), name="w#1")))
    assert torch.equal(whole[2:], alone)
    assert not torch.equal(whole[:2], alone)


def test_a_split_of_many_short_rows_is_row_by_row() -> None:
    parts = tuple(Part(1, Program(Normal.of(0, 1, stream=f"s{k}"))) for k in range(3))
    whole = values(evaluator(tensor(Split(1, parts), (100_000, 3))))
    for k in range(3):
        alone = values(evaluator(tensor(Normal.of(0, 1), (100_000, 1), name=f"s{k}")))
        assert torch.equal(whole[:, k : k + 1], alone)


def test_a_literal_keeps_its_bits() -> None:
    array = np.array([1.5, -0.0, 1e-45, 3e38], np.float32)
    source, blobs = literal(array, "float32")
    assert bits(values(evaluator(tensor(source, (4,)), blobs=blobs))) == array.tobytes()


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float64", "complex64", "int32"])
def test_what_is_not_drawn_is_exact(dtype: str) -> None:
    torch_dtype = BY_NAME[dtype].torch
    value = {"int64": 2**62 + 1, "bool": True, "float64": 0.1, "complex64": 1 + 2j}.get(dtype, 7)
    found = values(evaluator(tensor(Constant(value), (3,), dtype)))
    assert bits(found) == bits(torch.full((3,), value, dtype=torch_dtype))


def test_float64_is_a_draw_widened_and_a_constant_exact() -> None:
    drawn = values(evaluator(tensor(Normal.of(0, 1), (9,), "float64")))
    assert torch.equal(drawn, values(evaluator(tensor(Normal.of(0, 1), (9,)))).double())
    scaled = values(evaluator(tensor(Program(Constant(0.1), (Scale(3.0),)), (1,), "float64")))
    assert scaled.item() == 0.1 * 3.0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"])
def test_narrow_dtypes_are_the_float32_values_converted_once(dtype: str) -> None:
    program = Program(Normal.of(0, 3), (Add(0.01),))
    for found in (program, program.source):
        wide = values(evaluator(tensor(found, (1000,))))
        narrow = values(evaluator(tensor(found, (1000,), dtype)))
        assert bits(narrow) == bits(wide.to(BY_NAME[dtype].torch))


@given(st.data())
@settings(max_examples=30)
def test_the_reference_and_the_kernels_give_the_same_bytes(data: st.DataObject) -> None:
    shape = data.draw(shapes)
    transforms = tuple(data.draw(transforms_of(shape)))
    source = data.draw(st.sampled_from([Uniform.of(-1, 3), Normal.of(0.5, 2)]))
    found = evaluator(tensor(Program(source, transforms), shape))
    expected = values(found)
    reference = Evaluator(found.plan, draws=ReferenceDraws(torch.device("cpu")))
    assert bits(values(reference)) == bits(expected)


@given(st.data())
def test_any_byte_range_of_a_file_is_a_slice_of_it(data: st.DataObject) -> None:
    found = evaluator(
        tensor(Normal.of(0, 1), (5, 3), name="a"),
        tensor(Uniform.of(0, 1), (7,), "bfloat16", name="b"),
        tensor(Constant(3), (), "int64", name="c"),
        tensor(Program(Normal.of(0, 1), (Scale(2.0),)), (3, 3), "float64", name="d"),
    )
    file = layout(found.plan).files["model.safetensors"]
    whole = np.empty(file.size_bytes, np.uint8)
    found.read(file, 0, file.size_bytes, whole)
    start = data.draw(st.integers(0, file.size_bytes))
    stop = data.draw(st.integers(start, file.size_bytes))
    unaligned = np.empty(stop - start + 1, np.uint8)[1:]
    found.read(file, start, stop, unaligned)
    assert unaligned.tobytes() == whole[start:stop].tobytes()


def test_a_range_of_an_orthogonal_tensor_is_like_any_other() -> None:
    found = evaluator(tensor(Program(Orthogonal(2.0), (Scale(0.5),)), (40, 6, 5)))
    whole = values(found)
    matrix = whole.view(40, 30).double()
    assert torch.allclose(matrix.T @ matrix, torch.eye(30, dtype=torch.float64), atol=1e-6)
    assert torch.equal(values(found, 0, 17, 900), whole.reshape(-1)[17:900])


def test_a_range_of_a_sparse_tensor_is_like_any_other() -> None:
    found = evaluator(tensor(Sparse.of(0.3, 0.01), (50, 30)))
    whole = values(found)
    assert ((whole == 0).sum(0) == 15).all()
    assert torch.equal(values(found, 0, 17, 900), whole.reshape(-1)[17:900])


def test_an_orthogonal_part_of_a_split_is_the_unfused_tensor() -> None:
    parts = (Part(4, Program(Orthogonal(1.0, stream="q"))), Part(2, Program(Constant(0.0))))
    whole = values(evaluator(tensor(Split(1, parts), (5, 6))))
    alone = values(evaluator(tensor(Orthogonal(1.0), (5, 4), name="q")))
    assert torch.equal(whole[:, :4], alone)


def test_what_many_threads_want_at_once_is_computed_once() -> None:
    made: list[object] = []

    class Counting(MemoryCache):
        def get(self, key: Any, make: Any) -> Any:
            return super().get(key, lambda: (made.append(key), make())[1])

    wholes = Wholes(Counting(1 << 20, lambda array: array.nbytes))
    program = Program(Orthogonal(1.0))
    plan = Plan(42, "philox-v1", {}, (tensor(program, (64, 64)),))
    found = Evaluator(plan, wholes=wholes)
    with ThreadPoolExecutor(8) as executor:
        pieces = list(executor.map(lambda i: bits(values(found, 0, i, i + 64)), range(64)))
    assert len(made) == 1
    assert len(set(pieces)) == 64
