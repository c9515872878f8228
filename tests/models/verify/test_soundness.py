"""Plans that belong to their id, and cannot be evaluated: one clear line each."""

from __future__ import annotations

import copy
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from seedpoint.models.plan.plan import Plan
from seedpoint.models.planning.compiler import make_plan
from seedpoint.models.spec.schema import parse_spec
from seedpoint.models.verify.findings import Sample
from seedpoint.models.verify.header import FileFault
from seedpoint.models.verify.stated_plan import stated
from tests.support.verifying import (
    changed,
    check,
    fault,
    forge,
    metadata_of,
    rule,
    spec_of,
    tensors,
    with_header,
)

SPEC = spec_of(tensors(a=("F32", 2, 3), b=("F32", 4)), rule("**", "normal"))
PLAN = make_plan(parse_spec(SPEC)).plan


def program(**body: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["programs"].__setitem__(0, body)


def transformed(**transform: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["programs"][0].update(transforms=[transform])


def shaped(*shape: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["tensors"][0].update(shape=list(shape))


def split(axis: Any, *sizes: Any, of: dict[str, Any] | None = None) -> dict[str, Any]:
    inner = of or {"type": "constant", "value": 0}
    return {"type": "split", "axis": axis, "parts": [{"size": n, "program": inner} for n in sizes]}


def nested(depth: int) -> dict[str, Any]:
    found = {"type": "constant", "value": 0}
    for _ in range(depth):
        found = {"type": "split", "axis": 0, "parts": [{"size": 2, "program": found}]}
    return found


def blob(**more: Any) -> Callable[[dict[str, Any]], object]:
    sound = {"sha256": "0" * 64, "offset": 100, "dtype": "float16", "shape": [2, 3]}
    return program(**{"type": "blob", **sound, **more})


NORMAL = {"type": "normal", "mean": 0, "std": 1, "f32": [1, 0]}
PLANS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another format": (lambda d: d.update(format="seedpoint-plan-2"), "seedpoint-plan-2"),
    "no format": (lambda d: d.pop("format"), "not a plan of format"),
    "no tensors": (lambda d: d.pop("tensors"), "'tensors' is missing"),
    "tensors, a string": (lambda d: d.update(tensors="ab"), "not a plan"),
    "another stream": (lambda d: d.update(stream="philox-v2"), "stream 'philox-v2'"),
    "another generator": (lambda d: d.update(generator="mt19937"), "generator 'mt19937'"),
    "no platform": (lambda d: d.update(generator="torch"), "needs a platform"),
    "a platform": (lambda d: d.update(platform={}), "has no platform"),
    "seed of words": (lambda d: d.update(seed="seven"), "not a plan"),
    "seed beyond": (lambda d: d.update(seed=str(2**64)), "beyond 64 bits"),
    "seed below": (lambda d: d.update(seed="-1"), "beyond 64 bits"),
    "other ties": (lambda d: d["layout"].update(ties="twice"), "'twice' are not once or each"),
    "shards of nothing": (lambda d: d["layout"].update(max_shard_size="0"), "below one byte"),
    "spec, a list": (lambda d: d.update(spec=[1]), "spec is not an object"),
    "no such program": (lambda d: d["tensors"][0].update(program=9), "not a plan"),
    "no such dtype": (lambda d: d["tensors"][0].update(dtype="F31"), "'F31' is missing or unk"),
    "name, a number": (lambda d: d["tensors"][0].update(name=1), "names are not all strings"),
    "name of metadata": (lambda d: d["tensors"][0].update(name="__metadata__"), "cannot be"),
    "name twice": (lambda d: d["tensors"][0].update(name="b"), "two tensors are named 'b'"),
    "negative shape": (shaped(-2, -3), "is not a shape"),
    "shape of floats": (shaped(2.5, 3), "is not a shape"),
    "shape of bools": (shaped(True, 3), "is not a shape"),
    "huge shape": (shaped(2**53 - 1, 2**53 - 1), "too many bytes"),
    "huge beside zero": (shaped(2**53 - 1, 2**53 - 1, 0), "too many bytes"),
    "many dimensions": (shaped(*[1] * 65), "is not a shape"),
    "program without type": (program(value=1), "'type' is missing"),
    "program of no type": (program(type="noise"), "'noise' is missing or unknown"),
    "program, a transform": (program(type="scale", value=1), "is not a source"),
    "program, materialized": (program(type="materialized", shown=NORMAL), "not a program of"),
    "more arguments": (program(**NORMAL | {"x": 1}), "not a plan"),
    "fewer arguments": (program(type="normal", mean=0), "not a plan"),
    "constants missing": (program(**NORMAL | {"f32": [1]}), "are not the constants of normal"),
    "constants, a number": (program(**NORMAL | {"f32": 1}), "are not the constants of normal"),
    "constants, complex": (
        program(**NORMAL | {"f32": [1, {"real": 1, "imag": 1}]}), "are not the constants"),
    "negative draw": (program(**NORMAL | {"draw": -1}), "-1 is not a draw"),
    "huge draw": (program(**NORMAL | {"draw": 2**32}), "is not a draw"),
    "stream, a number": (program(**NORMAL | {"stream": 7}), "its stream is not a name"),
    "a fill beyond": (program(type="constant", value=1e300), "not a value of torch.float32"),
    "a complex fill": (program(type="constant", value={"real": 0, "imag": 1}), "is not a value"),
    "no digest": (program(type="literal", sha256="x", dtype="float32"), "'x' is not a SHA-256"),
    "literal of no dtype": (
        program(type="literal", sha256="0" * 64, dtype="float31"), "'float31' is not a dtype"),
    "complex literal": (
        program(type="literal", sha256="0" * 64, dtype="complex64"), "a complex literal"),
    "blob of no name": (blob(sha256="x"), "not named by a SHA-256"),
    "blob, a number": (blob(sha256=7), "not named by a SHA-256"),
    "blob of no dtype": (blob(dtype="float31"), "dtype in its blob is unknown"),
    "blob of a complex dtype": (blob(dtype="complex64"), "complex64 in its blob cannot be conv"),
    "blob of long integers": (blob(dtype="int64"), "int64 in its blob cannot be converted"),
    "blob of another shape": (blob(shape=[3, 2]), "shape in its blob is another"),
    "blob of a number for a shape": (blob(shape=6), "shape in its blob is another"),
    "blob before its file": (blob(offset=-1), "offset in its blob is outside"),
    "blob beyond every file": (blob(offset=str(2**63)), "offset in its blob is outside"),
    "blob at half a byte": (blob(offset=0.5), "offset in its blob is outside"),
    "blob without an offset": (program(type="blob", sha256="0" * 64), "not a plan"),
    "eye of another shape": (lambda d: (program(type="eye")(d), shaped(6)(d)), "eye needs two"),
    "dirac of a matrix": (program(type="dirac"), "dirac needs three"),
    "dirac of no groups": (
        lambda d: (program(type="dirac", groups=0)(d), shaped(2, 3, 1)(d)), "do not divide 2"),
    "orthogonal vector": (
        lambda d: (program(type="orthogonal", gain=1)(d), shaped(6)(d)), "two dimensions"),
    "sparsity": (
        program(type="sparse", sparsity=2, std=1, f32=[1, 0]), "sparsity is not in 0..1"),
    "split along nothing": (program(**split(2, 2)), "2 is not an axis"),
    "split along less": (program(**split(-1, 3)), "-1 is not an axis"),
    "parts missing": (program(**split(0, 1)), "do not sum to 2"),
    "parts of nothing": (program(**split(0, 2, 0)), "do not sum to 2"),
    "parts below nothing": (program(**split(0, 3, -1)), "do not sum to 2"),
    "part of no program": (program(**split(0, 2, of={"type": "scale", "value": 1})), "a source"),
    "nested splits": (program(**nested(40)), "splits nest too deep"),
    "deeply nested splits": (program(**nested(200)), "nest"),
    "no bound": (transformed(type="clamp"), "clamp has no bound"),
    "rows beyond": (transformed(type="zero_rows", rows=[2]), "not rows of shape"),
    "rows twice": (transformed(type="zero_rows", rows=[0, 0]), "not rows of shape"),
    "rows of bools": (transformed(type="zero_rows", rows=[False]), "not rows of shape"),
    "element beyond": (transformed(type="set", index=[2, 0], value=0), "is not an element"),
    "element of a vector": (transformed(type="set", index=[0], value=0), "is not an element"),
    "element of a number": (transformed(type="set", index=0, value=0), "is not an element"),
    "region beyond": (
        transformed(type="fill_region", region=[[0, 3, 1], [0, 3, 1]], value=0), "is not a region"),
    "region of no step": (
        transformed(type="fill_region", region=[[0, 2, 0], [0, 3, 1]], value=0), "is not a region"),
    "region of a vector": (
        transformed(type="fill_region", region=[[0, 2, 1]], value=0), "is not a region"),
    "scale by a list": (transformed(type="scale", value=[1]), "are not arguments of scale"),
    "scale, complex": (
        transformed(type="scale", value={"real": 0, "imag": 1}), "are not arguments of scale"),
    "a draw for a transform": (transformed(**NORMAL), "is not a transform"),
    "drawn integers": (lambda d: d["tensors"][0].update(dtype="I64"), "needs a floating tensor"),
    "drawn complex": (lambda d: d["tensors"][0].update(dtype="C64"), "needs a floating tensor"),
    "scaled integers": (
        lambda d: (d["tensors"][0].update(dtype="I8"), program(type="constant", value=1,
            transforms=[{"type": "scale", "value": 2}])(d)), "needs a floating tensor"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_that_cannot_be_evaluated_is_said_in_one_line(name: str, tmp_path: Path) -> None:
    change, message = PLANS[name]
    path = tmp_path / "x.safetensors"
    path.write_bytes(with_header({"__metadata__": metadata_of(changed(PLAN, change))}))
    assert message in fault(path)


WIDE = spec_of(
    tensors(a=("F32", 6, 4), b=("BF16", 5), c=("I16", 2, 2), d=("F64", 3, 3), e=("F32", 8, 8)),
    rule("a", "normal", splits={"parts": [{"size": 2}, {"size": 4}]}, transforms=[
        {"type": "clamp", "min": -1, "max": 1}, {"type": "set", "index": [0, 1], "value": 2}]),
    rule("b", "uniform", transforms=[{"type": "scale", "value": 2}]),
    rule("c", "constant", value=3, transforms=[{"type": "zero_rows", "rows": [1]}]),
    rule("d", "eye"),
    rule("e", "sparse", sparsity=0.5),
)  # fmt: skip
WIDE_PLAN = make_plan(parse_spec(WIDE)).plan
LEAVES = (
    st.integers(-3, 9)
    | st.sampled_from([True, None, "", "inf", "5", 1.5, 2**31, 2**53 - 1, 1e300, [], {}])
    | st.sampled_from(["F32", "BF16", "I8", "BOOL", "C64", "constant", "normal", "eye", "dirac"])
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a document."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


DOCUMENT = json.loads(WIDE_PLAN.canonical)
PLACES = [path for path in places(DOCUMENT) if path[0] != "spec"]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), LEAVES), min_size=1, max_size=3))
def test_whatever_a_plan_says_it_is_refused_or_evaluated(
    changes: list[tuple[tuple[Any, ...], Any]], tmp_path: Path
) -> None:
    document = copy.deepcopy(DOCUMENT)
    for (*above, last), value in changes:
        target = document
        try:
            for key in above:
                target = target[key]
            if isinstance(target, list) == isinstance(last, int):
                target[last] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue  # An earlier change took the place away.
    try:
        plan, files = stated(metadata_of(document))
    except FileFault:
        return
    first = next(iter(files.files.values()))
    if first.size_bytes >= 2**43:
        return  # No file system holds it.
    path = forge(json.loads(plan.canonical), tmp_path / "x.safetensors")
    if len(files.files) > 1:
        with pytest.raises(FileNotFoundError):
            check(path)
    else:
        check(path, Sample(20, 0) if first.size_bytes > 10**7 else None)


def test_long_programs_of_many_tensors_are_refused_before_they_are_checked(tmp_path: Path) -> None:
    def lengthen(document: dict[str, Any]) -> None:
        rows = {"type": "zero_rows", "rows": list(range(20_000))}
        document["programs"] = [{"type": "constant", "value": 0, "transforms": [rows]}]
        document["tensors"] = [
            {"name": f"t{n}", "shape": [20_000, 1], "dtype": "F32", "program": 0}
            for n in range(1_100)
        ]

    path = tmp_path / "x.safetensors"
    path.write_bytes(with_header({"__metadata__": metadata_of(changed(PLAN, lengthen))}))
    assert "its programs are too long for its number of tensors" in fault(path)


def test_a_literal_of_another_length_is_told(tmp_path: Path) -> None:
    values = rule("a", "values", values=[1, 2, 3])
    plan = make_plan(parse_spec(spec_of(tensors(a=("F32", 3)), values))).plan
    longer = forge(changed(plan, shaped(4)), tmp_path / "x")
    assert fault(longer) == f"{longer}: 'a': its literal does not have the 16 bytes that it needs"


def test_a_plan_of_huge_tensors_takes_no_memory(tmp_path: Path) -> None:
    huge = changed(PLAN, shaped(2**50))
    path = tmp_path / "x.safetensors"
    path.write_bytes(with_header({"__metadata__": metadata_of(huge)}))
    tracemalloc.start()
    assert "its plan has a tensor 'a', which its header lacks" in fault(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    assert Plan.from_json(huge).tensors[0].nbytes == 2**52
