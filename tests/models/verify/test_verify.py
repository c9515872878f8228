"""What `verify` finds: every byte right, or where the first wrong one is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from safetensors import safe_open

from seedpoint.models.dtypes import BY_NAME, DTYPES
from seedpoint.models.generation.evaluator import Evaluator
from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.verify.findings import Difference, Sample, number
from seedpoint.models.verify.header import FileFault
from seedpoint.models.verify.stated_plan import stated
from seedpoint.service.local.blob_files import LocalBlobs
from tests.support.blob_files import by_file, rows, stored
from tests.support.places import EXAMPLES
from tests.support.verifying import (
    LINEAR,
    body,
    changed,
    check,
    floats,
    forge,
    header,
    in_process,
    make,
    rule,
    spec_of,
    tensors,
    unknown,
    write,
    write_files,
)

SMALL_BYTES = 30_000_000

EYES = spec_of(
    tensors(a=("F32", 70_000), b=("F32", 9, 9)),
    rule("**", "normal", std=0.5),
    dtype=floats(b="bfloat16"),
)
VALUES = rule("a", "values", values=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
SPLIT = {"axis": 0, "parts": [{"size": 2, "as": "q"}, {"size": 4}, {"size": 3}]}

SPECS: dict[str, dict[str, Any]] = {
    "own init": spec_of({"type": "Sequential", "layers": [LINEAR, {"type": "LSTM",
        "input_size": 2, "hidden_size": 3}]}),
    "literal": spec_of(tensors(a=("F32", 2, 3)), VALUES),
    "literal converted": spec_of(tensors(a=("F32", 6)), VALUES, dtype="bfloat16"),
    "literal transformed": spec_of(
        tensors(a=("F32", 6)), VALUES | {"transforms": [{"type": "scale", "value": 3}]}
    ),
    "transforms": spec_of(
        tensors(a=("F32", 4, 5)),
        rule("a", "normal", std=2.0, transforms=[
            {"type": "hard_threshold", "value": 1}, {"type": "clamp", "min": -3, "max": 3},
            {"type": "add", "value": 1}, {"type": "zero_rows", "rows": [1]},
            {"type": "set", "index": [0, 0], "value": 9}]),
        dtype="float16",
    ),
    "splits": spec_of(tensors(a=("F32", 9, 5)), rule("a", "xavier_uniform", splits=SPLIT)),
    "orthogonal and sparse": spec_of(
        tensors(a=("F32", 40, 30), b=("F32", 33, 31)),
        rule("a", "orthogonal"), rule("b", "sparse", sparsity=0.3),
    ),
    "eye and dirac": spec_of(
        tensors(a=("F32", 5, 7), b=("F32", 6, 2, 3)), rule("a", "eye"), rule("b", "dirac"),
        dtype="float64",
    ),
    "nothing": spec_of({"type": "tensors", "tensors": []}),
    "empty and scalar": spec_of(tensors(a=("F32", 0, 3), b=("F32",)), rule("**", "normal")),
    "a tensor's name": spec_of(
        {"type": "tensors", "tensors": [{"name": "ä\n\"[red]", "dtype": "F32", "shape": [3]}]},
        rule("**", "normal"),
    ),
    "numbers beyond 2^53": spec_of(tensors(a=("F32", 4)), rule("a", "normal", mean=1e17)),
}  # fmt: skip


@pytest.fixture
def eyes(tmp_path: Path) -> Path:
    return write(EYES, tmp_path)


def damage(path: Path, *offsets: int) -> Path:
    """Flips a bit of each byte in the file; a negative offset counts from its end."""
    data = bytearray(path.read_bytes())
    for offset in offsets:
        data[offset] ^= 1
    path.write_bytes(data)
    return path


# --- every byte right ---------------------------------------------------------------


@pytest.mark.parametrize("name", SPECS)
def test_a_file_as_it_was_issued_is_verified(name: str, tmp_path: Path) -> None:
    report = check(write(SPECS[name], tmp_path))
    assert report.verdict == "verified" and report.same_plan is True
    assert report.checked_bytes == report.total_bytes


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.json")))
@pytest.mark.parametrize("generator", ["philox-v1", "torch"])
def test_every_example_is_verified(name: str, generator: str, tmp_path: Path) -> None:
    spec = json.loads((EXAMPLES / f"{name}.json").read_text())
    if name == "gpt2":
        spec["architecture"] = LINEAR
        spec["init"]["rules"] = []
    spec["init"]["generator"] = generator
    assert check(write(spec, tmp_path)).verdict == "verified"


def test_all_dtypes_are_verified_and_a_flip_in_each_is_found(tmp_path: Path) -> None:
    plan = make(spec_of(tensors(**{d.name: ("F32", 4) for d in DTYPES}), rule("**", "ones")))
    typed = tuple(replace(t, dtype=d) for t, d in zip(plan.tensors, DTYPES, strict=True))
    path = write_files(Evaluator(replace(plan, tensors=typed)), tmp_path)
    assert check(path).verdict == "verified"
    data = path.read_bytes()
    start = len(data) - len(body(data))
    places = {
        name: start + entry["data_offsets"][0] + BY_NAME[name].itemsize
        for name, entry in header(data).items()
        if name != "__metadata__"
    }
    report = check(damage(path, *places.values()))
    found = {d.tensor: (d.element, d.index, d.offset) for d in report.differences}
    seconds = {name: BY_NAME[name].per_item for name in places}  # the first of the second item
    assert found == {name: (n, (n,), places[name]) for name, n in seconds.items()}
    assert all(map(str, report.differences))


@pytest.mark.parametrize("ties", ["once", "each"])
def test_tied_tensors_are_verified_under_each_name_they_are_stored_under(
    ties: str, tmp_path: Path
) -> None:
    second = LINEAR | {"in_features": 2, "out_features": 3, "name": "b", "bias": False}
    first = {"type": "Linear", "in_features": 2, "out_features": 3, "name": "a", "bias": False}
    layers = [first, second | {"tie": {"weight": "a.weight"}}]
    spec = spec_of({"type": "Sequential", "layers": layers}, ties=ties)
    path = write(spec, tmp_path)
    assert check(path).verdict == "verified"
    tensor = "a.weight" if ties == "once" else "b.weight"
    report = check(damage(path, -1))
    assert [difference.tensor for difference in report.differences] == [tensor]


def test_shards_are_verified_by_directory_first_shard_or_index(tmp_path: Path) -> None:
    spec = EYES | {"max_shard_size": "1kB"}
    first = write(spec, tmp_path)
    for path in (tmp_path, first, tmp_path / "model.safetensors.index.json"):
        report = check(path)
        assert report.verdict == "verified"
        assert len(report.files) == 2
    damage(tmp_path / "model-00002-of-00002.safetensors", -1)
    (difference,) = check(first).differences
    assert difference.tensor == "b" and difference.file.endswith("model-00002-of-00002.safetensors")
    (tmp_path / "model.safetensors.index.json").unlink()
    assert check(first).verdict == "differs"
    with pytest.raises(FileFault, match=r"lacks model\.safetensors\.index\.json of checkpoint"):
        check(tmp_path)


# --- differences ---------------------------------------------------------------------


def test_the_first_difference_of_each_tensor_is_named(eyes: Path) -> None:
    with safe_open(eyes, "np") as file:
        before = file.get_tensor("a")
    data = eyes.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    damage(eyes, start + 4 * 69_000 + 3, start + 4 * 66_000 + 1, -1)
    report = check(eyes)
    assert report.verdict == "differs" and report.same_plan is True
    a, b = report.differences
    assert (a.tensor, a.element, a.index) == ("a", 66_000, (66_000,))
    assert a.offset == start + 4 * 66_000
    assert a.expected == before[66_000].tobytes() != a.found
    assert (b.tensor, b.element, b.index) == ("b", 80, (8, 8))
    assert b.offset == len(data) - 2
    assert str(a).startswith(f"'a' in {eyes}: element 66000 [66000], at byte {a.offset}, is ")
    json.dumps(report.document(), allow_nan=False)


@pytest.mark.parametrize(
    ("dtype", "raw", "bits"),
    [
        ("uint8", "7f", "0x7f"),
        ("bfloat16", "d83b", "0x3bd8"),
        ("float32", "5b1cd83b", "0x3bd81c5b"),
        ("int64", "0100000000000080", "0x8000000000000001"),
        ("complex64", "0000803f000000c0", "0x3f800000 0xc0000000"),
    ],
)
def test_the_bits_of_an_element_are_shown_as_a_number(dtype: str, raw: str, bits: str) -> None:
    found = bytes.fromhex(raw)
    difference = Difference("f", "a", BY_NAME[dtype], 0, 0, (0,), bytes(len(found)), found)
    value = number(found, BY_NAME[dtype])
    assert f"is {value} ({bits}), not " in str(difference)
    assert difference.document()["found"] == {"bytes": raw, "value": value}


@pytest.mark.parametrize("threads", [1, 5])
def test_the_first_of_many_differences_is_found_on_any_number_of_threads(
    threads: int, tmp_path: Path
) -> None:
    spec = spec_of(tensors(a=("F32", 5_000_000)), rule("a", "constant", value=1))
    path = write(spec, tmp_path)
    damage(path, *range(-8_000_000, 0, 40_000))
    report = check(path, threads=threads)
    (difference,) = report.differences
    assert difference.element == 3_000_000
    assert report.checked_bytes <= report.total_bytes


def test_other_names_for_the_file_do_not_matter(eyes: Path) -> None:
    assert check(eyes.rename(eyes.with_name("other name"))).verdict == "verified"


@settings(max_examples=60)
@given(data=st.data())
def test_no_file_with_a_flipped_byte_is_verified(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(SPECS["transforms"], tmp_path_factory.mktemp("flip"))
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(flipped)
    assert not is_verified(path)


def test_no_single_bit_of_a_small_file_can_change_unnoticed(tmp_path: Path) -> None:
    path = write(SPECS["literal"], tmp_path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        assert not is_verified(path), at
    path.write_bytes(whole)
    assert is_verified(path)


@settings(max_examples=60)
@given(data=st.data())
def test_no_truncated_or_padded_file_is_verified(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(SPECS["splits"], tmp_path_factory.mktemp("cut"))
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    cut = data.draw(st.integers(0, len(whole) - at))
    put = data.draw(st.binary(min_size=0 if cut else 1, max_size=20))
    made = whole[:at] + put + whole[at + cut :]
    path.write_bytes(made)
    assert is_verified(path) == (made == whole)


def is_verified(path: Path) -> bool:
    try:
        return check(path, threads=1).verdict == "verified"
    except FileFault:
        return False


# --- what cannot be made here --------------------------------------------------------


def test_literals_are_checked_by_their_digest_when_the_spec_no_longer_gives_them(
    tmp_path: Path,
) -> None:
    path = write(SPECS["literal"], tmp_path)
    report = check(path, replanning=unknown)
    assert report.verdict == "verified"
    assert (report.same_plan, report.remark) == (None, "the worker died")
    (difference,) = check(damage(path, -1), replanning=unknown).differences
    assert (difference.tensor, difference.element) == ("a", None)
    assert "differ from the literal in its plan" in str(difference)


@pytest.mark.parametrize("name", ["literal converted", "literal transformed"])
def test_what_is_made_of_a_lost_literal_is_said_to_be_unchecked(name: str, tmp_path: Path) -> None:
    path = write(SPECS[name], tmp_path)
    report = check(path, replanning=unknown)
    assert report.verdict == "incomplete" and report.checked_bytes == 0
    assert "is not what today's libraries make of its spec" in report.unchecked["a"]


@pytest.mark.parametrize("generator", ["torch", "numpy"])
def test_a_platform_bound_checkpoint_is_made_again_where_it_can_be(
    generator: str, tmp_path: Path
) -> None:
    spec = spec_of(LINEAR, rule("weight", "normal"), init={"generator": generator})
    path = write(spec, tmp_path)
    assert check(path).verdict == "verified"
    assert check(path, Sample(1000, 0)).verdict == "verified"
    (difference,) = check(damage(path, -1)).differences
    assert difference.tensor == "weight"


def test_a_checkpoint_bound_to_another_platform_has_its_header_checked(tmp_path: Path) -> None:
    path = write(spec_of(LINEAR, init={"generator": "torch"}), tmp_path)
    plan = plan_in(path)
    elsewhere = changed(plan, lambda document: document["platform"].update(torch="1.0"))
    forge(elsewhere, path)
    report = check(path)
    assert report.verdict == "incomplete" and report.same_plan is None
    assert set(report.unchecked) == {"weight", "bias"}
    assert "was made by" in report.unchecked["bias"]
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(FileFault, match="padded"):
        check(path)


def plan_in(path: Path) -> Plan:
    return stated(header(path.read_bytes())["__metadata__"])[0]


def test_what_costs_too_much_to_make_whole_is_unchecked(tmp_path: Path) -> None:
    plan = make(spec_of(tensors(a=("F32", 64, 64)), rule("a", "orthogonal")))
    huge = changed(plan, lambda document: document["tensors"][0].update(shape=[10**6, 10**6]))
    report = check(forge(huge, tmp_path / "x"))
    assert report.verdict == "incomplete"
    assert "orthogonal" in report.unchecked["a"]


# --- blobs --------------------------------------------------------------------------------


@pytest.fixture
def beside(tmp_path: Path) -> tuple[dict[str, Any], LocalBlobs]:
    """A spec whose tensor `a` is a blob's, `b` in part, and `c` drawn; and the blob."""
    values = rows(700, 100, torch.bfloat16)
    values.view(torch.int16)[3, 3] = 0x7FA1
    name, blobs = stored(tmp_path, {"emb.weight": values, "half": values[:350].clone()})
    parts = [{"size": 350, "initializer": by_file(name, "half")}, {"size": 350}]
    rules = [
        {"match": {"name": "a"}, "initializer": by_file(name)},
        rule("b", "normal", splits={"parts": parts}),
        rule("c", "normal"),
    ]
    shape = ("F32", 700, 100)
    dtype = floats(a="bfloat16", b="bfloat16")
    return spec_of(tensors(a=shape, b=shape, c=shape), *rules, dtype=dtype), blobs


def test_tensors_of_a_blob_are_read_from_it_again(
    beside: tuple[dict[str, Any], LocalBlobs], tmp_path: Path
) -> None:
    spec, blobs = beside
    path = write(spec, tmp_path, blobs)
    report = check(path, blobs=blobs)
    assert (report.verdict, report.same_plan) == ("verified", True)
    assert check(path, Sample(2, 0), blobs=blobs).verdict == "sample agrees"
    for name, element in (("a", 303), ("b", 303), ("b", 69_999)):
        entry = header(path.read_bytes())[name]["data_offsets"]
        content = bytearray(path.read_bytes())
        at = len(content) - len(body(content)) + entry[0] + 2 * element
        content[at] ^= 1
        other = tmp_path / "other.safetensors"
        other.write_bytes(content)
        (difference,) = check(other, blobs=blobs).differences
        assert (difference.tensor, difference.element) == (name, element)


def test_without_its_blob_a_tensor_is_unchecked_and_the_others_are_not(
    beside: tuple[dict[str, Any], LocalBlobs], tmp_path: Path
) -> None:
    spec, blobs = beside
    path = write(spec, tmp_path, blobs)
    report = check(path)
    assert (report.verdict, report.same_plan) == ("incomplete", None)
    (name,) = blobs
    missing = f"blob {name} is not given (--blob FILE)"
    assert report.unchecked == dict.fromkeys("ab", missing)
    assert report.remark == missing
    assert not check(damage(path, -1)).differences
    (difference,) = check(damage(path, -2 * 2 * 70_000 - 1)).differences
    assert difference.tensor == "c"


def test_a_plan_that_reads_past_the_end_of_a_blob_is_refused(
    beside: tuple[dict[str, Any], LocalBlobs], tmp_path: Path
) -> None:
    spec, blobs = beside
    plan = make_plan(parse_spec(spec), blobs=blobs).plan
    moved = changed(plan, lambda document: document["programs"][0].update(offset=10**9))
    with pytest.raises(FileFault, match="ended at byte"):
        check(forge(moved, tmp_path / "x"), blobs=blobs)


# --- today's libraries -----------------------------------------------------------------


def test_a_plan_that_would_be_another_today_is_remarked_and_no_failure(tmp_path: Path) -> None:
    plan = make(EYES)
    old = changed(plan, lambda d: d["programs"][0].update(std=0.25, f32=[0.25, 0]))
    path = write_files(Evaluator(Plan.from_json(old)), tmp_path)
    report = check(path)
    assert report.verdict == "verified" and report.same_plan is False
    assert report.remark is not None and report.remark.startswith("'a' would be {")


def test_a_spec_that_today_is_refused_is_remarked_and_no_failure(tmp_path: Path) -> None:
    plan = make(spec_of(tensors(a=("F32", 4)), rule("a", "zeros")))
    old = changed(plan, lambda d: d["spec"].update(forgotten_option=1))
    report = check(forge(old, tmp_path / "x"), replanning=in_process)
    assert report.verdict == "verified" and report.same_plan is False
    assert report.remark is not None and "forgotten_option" in report.remark
