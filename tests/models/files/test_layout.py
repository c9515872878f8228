"""The safetensors library is the oracle here: for order, offsets, loading and ties."""

from __future__ import annotations

import json
import math
import random
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given
from torch import nn

from seedpoint.models.dtypes import BY_CODE, BY_NAME, BY_TORCH, DTYPES, DType
from seedpoint.models.files.layout import Bytes, File, Layout, Span, Ties

F32 = BY_NAME["float32"]


@dataclass(frozen=True)
class Tensor:
    name: str
    dtype: DType = F32
    shape: tuple[int, ...] = (1,)
    aliases: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        return self.dtype.nbytes(math.prod(self.shape))


def values(tensor: Tensor) -> bytes:
    """Bytes of its own for each tensor, ones that are a bool too."""
    drawn = random.Random(tensor.name).randbytes(tensor.nbytes)
    return bytes(b & 1 for b in drawn) if tensor.dtype.name == "bool" else drawn


def as_torch(tensor: Tensor) -> torch.Tensor:
    shape, dtype = tensor.shape, tensor.dtype
    if dtype.per_item > 1:  # PyTorch counts pairs
        shape = (*shape[:-1], shape[-1] // dtype.per_item)
    if tensor.nbytes == 0:
        return torch.empty(shape, dtype=dtype.torch)
    raw = torch.frombuffer(bytearray(values(tensor)), dtype=torch.uint8)
    return raw.view(dtype.torch).reshape(shape)


def read(file: File, data: Sequence[bytes], start: int = 0, stop: int | None = None) -> bytes:
    """The bytes of a range of `file`, of tensors whose bytes are `data`."""
    pieces = [
        segment.data
        if isinstance(segment, Bytes)
        else data[segment.tensor][segment.start_byte : segment.stop_byte]
        for segment in file.segments(start, file.size_bytes if stop is None else stop)
    ]
    assert all(pieces)
    return b"".join(pieces)


def header(data: bytes) -> dict[str, Any]:
    (length,) = struct.unpack("<Q", data[:8])
    document: dict[str, Any] = json.loads(data[8 : 8 + length])
    return document


def single(tensors: Sequence[Tensor], **metadata: str) -> File:
    (file,) = Layout.of(tensors, metadata=metadata).files.values()
    assert file.name == "model.safetensors"
    return file


def body(data: bytes) -> bytes:
    return data[8 + struct.unpack("<Q", data[:8])[0] :]


names = st.text(st.characters(codec="utf-8"), max_size=12).filter(lambda n: n != "__metadata__")
shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
tensor_lists = st.lists(
    st.builds(Tensor, names, st.sampled_from(DTYPES), shapes).filter(
        lambda tensor: tensor.dtype.shape_fault(tensor.shape) is None
    ),
    max_size=8,
    unique_by=lambda tensor: tensor.name,
)


# --- the header ----------------------------------------------------------------


def test_a_header_is_these_bytes() -> None:
    tensors = [
        Tensor("wte.weight", BY_NAME["bfloat16"], (2, 3), aliases=("head.weight",)),
        Tensor("step", BY_NAME["int64"], ()),
        Tensor('größe "x"', F32, (0, 4)),
        Tensor("Bias", F32, (2,)),
    ]
    assert single(tensors, format="pt").head == (
        b"\x38\x01\x00\x00\x00\x00\x00\x00"
        b'{"Bias":{"data_offsets":[8,16],"dtype":"F32","shape":[2]},'
        b'"__metadata__":{"format":"pt","head.weight":"wte.weight"},'
        b'"gr\xc3\xb6\xc3\x9fe \\"x\\"":{"data_offsets":[16,16],"dtype":"F32","shape":[0,4]},'
        b'"step":{"data_offsets":[0,8],"dtype":"I64","shape":[]},'
        b'"wte.weight":{"data_offsets":[16,28],"dtype":"BF16","shape":[2,3]}}     '
    )


def test_no_tensors_and_no_metadata_are_an_empty_object() -> None:
    assert single([]).head == b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "


@pytest.mark.parametrize("length", range(9))
def test_data_begins_on_a_multiple_of_eight_bytes(length: int) -> None:
    assert len(single([Tensor("x" * length)]).head) % 8 == 0


# --- order and offsets ---------------------------------------------------------


def test_dtypes_are_all_that_the_library_writes() -> None:
    accepted = set()
    for dtype in {d for d in vars(torch).values() if isinstance(d, torch.dtype)}:
        try:
            data = safetensors.torch.save({"x": torch.zeros(2, dtype=torch.uint8).view(dtype)})
        except (KeyError, RuntimeError):
            continue
        accepted.add((dtype, header(data)["x"]["dtype"]))
    accepted |= {
        (dtype, header(safetensors.torch.save({"x": torch.empty(1, dtype=dtype)}))["x"]["dtype"])
        for dtype in BY_TORCH
    }
    assert accepted == {(d.torch, d.code) for d in DTYPES}


def test_dtypes_are_in_the_order_by_which_the_library_sorts() -> None:
    mixed = {code: torch.empty(1, dtype=dtype.torch) for code, dtype in BY_CODE.items()}
    entries = header(safetensors.torch.save(mixed))
    by_offset = sorted(entries, key=lambda name: entries[name]["data_offsets"])
    assert by_offset == [dtype.code for dtype in reversed(DTYPES)]


@given(tensor_lists)
def test_offsets_and_data_are_those_of_save(tensors: list[Tensor]) -> None:
    data = read(single(tensors, format="pt"), [values(tensor) for tensor in tensors])
    oracle = safetensors.torch.save({t.name: as_torch(t) for t in tensors}, {"format": "pt"})
    assert (header(data), body(data)) == (header(oracle), body(oracle))


def test_offsets_and_data_are_those_of_save_file(tmp_path: Path) -> None:
    tensors = [Tensor(f"{k}.{d.code}", d, (k, 2)) for d in DTYPES for k in (2, 0, 1)]
    safetensors.torch.save_file({t.name: as_torch(t) for t in tensors}, tmp_path / "oracle")
    oracle = (tmp_path / "oracle").read_bytes()
    data = read(single(tensors), [values(tensor) for tensor in tensors])
    assert (header(data), body(data)) == (header(oracle), body(oracle))


# --- byte ranges ---------------------------------------------------------------


@given(tensor_lists, st.data())
def test_any_byte_range_is_that_slice_of_the_file(
    tensors: list[Tensor], draw: st.DataObject
) -> None:
    file, data = single(tensors, plan="ü" * 5), [values(tensor) for tensor in tensors]
    start = draw.draw(st.integers(0, file.size_bytes))
    stop = draw.draw(st.integers(start, file.size_bytes))
    assert read(file, data, start, stop) == read(file, data)[start:stop]


def test_a_range_across_head_and_tensors_names_each_in_its_own_bytes() -> None:
    file = single([Tensor("b", shape=(3,)), Tensor("empty", shape=(0,)), Tensor("a", shape=(2,))])
    base = len(file.head)
    assert list(file.segments(base - 1, base + 9)) == [Bytes(b" "), Span(2, 0, 8), Span(0, 0, 1)]
    assert list(file.segments(base + 9, base + 19)) == [Span(0, 1, 11)]
    assert list(file.segments(base + 8, base + 8)) == []


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 2), (0, 10_000)])
def test_a_range_outside_the_file_is_refused_at_once(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match=r"not within model\.safetensors; it has bytes \[0, "):
        single([Tensor("a")]).segments(start, stop)


def test_a_range_deep_in_a_large_file_touches_only_what_it_holds() -> None:
    class Counting(tuple):  # type: ignore[type-arg]
        reads = 0

        def __getitem__(self, at: Any) -> Any:
            Counting.reads += 1
            return super().__getitem__(at)

    whole = single([Tensor(f"{k:05d}") for k in range(10_000)])
    file = File(whole.name, whole.head, Counting(whole.entries))
    assert len(list(file.segments(whole.size_bytes - 4001, whole.size_bytes - 3990))) == 4
    assert 4 <= Counting.reads < 30


def test_sixty_thousand_tensors_are_laid_out_in_under_a_second() -> None:
    tensors = [Tensor(f"layers.{k}.mlp.down_proj.weight", shape=(8, 8)) for k in range(60_000)]
    seconds = []
    for _ in range(3):
        started = time.process_time()
        Layout.of(tensors, metadata={"format": "pt"}, max_shard_size=10**6)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 1


# --- loading -------------------------------------------------------------------


def test_files_load_with_torch_and_numpy(tmp_path: Path) -> None:
    tensors = [Tensor(f"x.{d.code}", d, (3, 2)) for d in DTYPES]
    path = tmp_path / "model.safetensors"
    path.write_bytes(read(single(tensors, format="pt"), [values(tensor) for tensor in tensors]))
    loaded = safetensors.torch.load_file(path)
    for tensor in tensors:
        assert loaded[tensor.name].dtype == tensor.dtype.torch
        assert loaded[tensor.name].view(torch.uint8).numpy().tobytes() == values(tensor)

    plain = [t for t in tensors if t.dtype.code[:2] not in ("F4", "F8", "BF")]
    array = safetensors.numpy.load(read(single(plain), [values(tensor) for tensor in plain]))
    assert {n: a.tobytes() for n, a in array.items()} == {t.name: values(t) for t in plain}


class Tied(nn.Module):
    """Ties whose first name in state-dict order is not the first by the alphabet."""

    def __init__(self) -> None:
        super().__init__()
        self.wte = nn.Embedding(5, 3)
        self.norm = nn.LayerNorm(3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.wte.weight
        self.also = self.norm
        self.none = nn.Parameter(torch.empty(0, 3))
        self.nil = self.none


def tied_tensors() -> list[Tensor]:
    return [
        Tensor("none", shape=(0, 3), aliases=("nil",)),
        Tensor("wte.weight", shape=(5, 3), aliases=("head.weight",)),
        Tensor("norm.weight", shape=(3,), aliases=("also.weight",)),
        Tensor("norm.bias", shape=(3,), aliases=("also.bias",)),
    ]


@pytest.mark.parametrize("max_shard_size", [None, 64])
@pytest.mark.parametrize("ties", ["once", "each"])
def test_ties_load_strictly(tmp_path: Path, ties: Ties, max_shard_size: int | None) -> None:
    tensors, model = tied_tensors(), Tied()
    state = {name: torch.full_like(value, torch.nan) for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    layout = Layout.of(tensors, metadata={}, max_shard_size=max_shard_size, ties=ties)
    loaded: dict[str, torch.Tensor] = {}
    for file in layout.files.values():
        if file.name.endswith(".safetensors"):
            path = tmp_path / file.name
            path.write_bytes(read(file, [values(tensor) for tensor in tensors]))
            loaded |= safetensors.torch.load_file(path)
    if ties == "each":
        model.load_state_dict(loaded, strict=True)
    elif max_shard_size is None:
        missing, unexpected = safetensors.torch.load_model(model, path)
        assert not missing
        assert not unexpected
    else:
        assert model.load_state_dict(loaded, strict=False).unexpected_keys == []
    for tensor in tensors:
        for name in (tensor.name, *tensor.aliases):
            assert model.state_dict()[name].numpy().tobytes() == values(tensor)


def test_ties_once_are_written_as_save_model_writes_them(tmp_path: Path) -> None:
    model = nn.Module()
    model.a = nn.Linear(2, 2)
    model.b = model.a
    model.c = model.a
    safetensors.torch.save_model(model, str(tmp_path / "oracle"), metadata={"b.bias": "kept"})
    tensors = [
        Tensor("a.weight", shape=(2, 2), aliases=("b.weight", "c.weight")),
        Tensor("a.bias", shape=(2,), aliases=("b.bias", "c.bias")),
    ]
    ours = Layout.of(tensors, metadata={"b.bias": "kept"}).files["model.safetensors"]
    assert header(ours.head) == header((tmp_path / "oracle").read_bytes())


def test_ties_each_have_copies_of_the_bytes() -> None:
    tensors = [Tensor("b", shape=(2,), aliases=("a",)), Tensor("c")]
    (file,) = Layout.of(tensors, metadata={}, ties="each").files.values()
    assert list(file.segments(len(file.head), file.size_bytes)) == [
        Span(0, 0, 8),
        Span(0, 0, 8),
        Span(1, 0, 4),
    ]
    assert "__metadata__" not in header(file.head)


# --- shards --------------------------------------------------------------------


def sharded() -> tuple[list[Tensor], Layout]:
    tensors = [
        Tensor("c", shape=(2,), aliases=("z",)),
        Tensor("big", shape=(9,)),
        Tensor("b", shape=(2,)),
        Tensor("ä", shape=(3,)),
    ]
    layout = Layout.of(
        tensors, metadata={"format": "pt"}, first_metadata={"plan": "{}"}, max_shard_size=16
    )
    return tensors, layout


def test_shards_and_their_index_are_as_the_hub_writes_them() -> None:
    _, layout = sharded()
    first, second, third, index = layout.files.values()
    assert [file.name for file in layout.files.values()] == list(layout.files)
    assert first.name == "model-00001-of-00003.safetensors"
    assert [[entry.name for entry in file.entries] for file in (first, second, third)] == [
        ["big"],
        ["b", "c"],
        ["ä"],
    ]
    assert index.name == "model.safetensors.index.json"
    assert index.size_bytes == len(index.head)
    assert index.head == (
        b'{\n  "metadata": {\n    "total_size": 64\n  },\n  "weight_map": {\n'
        b'    "b": "model-00002-of-00003.safetensors",\n'
        b'    "big": "model-00001-of-00003.safetensors",\n'
        b'    "c": "model-00002-of-00003.safetensors",\n'
        b'    "\\u00e4": "model-00003-of-00003.safetensors"\n  }\n}\n'
    )
    assert list(index.segments(2, 6)) == [Bytes(index.head[2:6])]


def test_every_shard_has_the_metadata_and_the_first_alone_the_plan() -> None:
    _, layout = sharded()
    shards = [header(file.head)["__metadata__"] for file in list(layout.files.values())[:3]]
    assert shards == [
        {"format": "pt", "plan": "{}"},
        {"format": "pt", "z": "c"},
        {"format": "pt"},
    ]


def test_shards_together_are_all_the_tensors() -> None:
    tensors, layout = sharded()
    loaded: dict[str, np.ndarray] = {}
    for file in list(layout.files.values())[:3]:
        loaded |= safetensors.numpy.load(read(file, [values(tensor) for tensor in tensors]))
    assert {n: a.tobytes() for n, a in loaded.items()} == {t.name: values(t) for t in tensors}


@pytest.mark.parametrize("max_shard_size", [None, 8, 4, 3])
def test_what_needs_one_shard_is_a_single_file(max_shard_size: int | None) -> None:
    layout = Layout.of([Tensor("a")], metadata={}, max_shard_size=max_shard_size)
    assert list(layout.files) == ["model.safetensors"]


# --- refusals ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([Tensor("__metadata__")], "a tensor cannot be named '__metadata__'"),
        ([Tensor("a", aliases=("__metadata__",))], "a tensor cannot be named '__metadata__'"),
        ([Tensor("a"), Tensor("a")], "two tensors are named 'a'"),
        ([Tensor("a"), Tensor("b", aliases=("a",))], "two tensors are named 'a'"),
        ([Tensor("a\ud800")], r"must be valid Unicode; '\{\"a\\ud800'"),
        ([Tensor("a", shape=(2**32, 2**31))], r"'a' of shape \[4294967296, 2147483648\] has too"),
        ([Tensor("a", shape=(2**32, 2**32, 0))], "too many bytes"),
        ([Tensor(n, shape=(2**30, 2**30)) for n in "ab"], r"2\*\*63 bytes or more; use a"),
    ],
)
def test_what_no_file_can_hold_is_refused(tensors: list[Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layout.of(tensors, metadata={})


def test_a_header_up_to_the_library_limit_loads_and_beyond_is_refused() -> None:
    room = 100_000_000 - len('{"__metadata__":{"plan":""}}')
    assert safetensors.deserialize(single([], plan="x" * room).head) == []
    with pytest.raises(ValueError, match=r"the header of model\.safetensors would have 100000008 "):
        single([], plan="x" * (room + 1))


@pytest.mark.parametrize("max_shard_size", [0, -5])
def test_a_limit_below_one_byte_is_refused(max_shard_size: int) -> None:
    with pytest.raises(ValueError, match="at least 1 byte"):
        Layout.of([], metadata={}, max_shard_size=max_shard_size)
