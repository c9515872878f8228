"""Description of a plan for people and clients: the checkpoint resource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from seedpoint.models.plan.plan import Plan
from seedpoint.models.plan.program import Materialized, Program
from seedpoint.models.plan.program_json import to_json
from seedpoint.models.statistics.expected import expected

STREAM_DETAILS = frozenset({"f32"})


def resource(plan: Plan, links: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the checkpoint resource, without `statistics`, and with `links` if they are given."""
    return {
        "id": plan.id,
        "seed": plan.seed,
        "generator": plan.generator,
        "reproducibility": plan.reproducibility,
        **({} if plan.platform is None else {"platform": dict(plan.platform)}),
        **({} if links is None else {"links": dict(links)}),
        "totals": totals(plan),
        "tensors": list(describe_tensors(plan)),
        "modules": describe_modules(plan),
        "warnings": list(map(str, plan.warnings)),
        "warning_details": [warning.details for warning in plan.warnings],
        **plan.about,
    }


def totals(plan: Plan) -> dict[str, Any]:
    """Return the counts of tensors and elements, and the bytes in total and by dtype."""
    copies = [1 + (len(t.aliases) if plan.ties == "each" else 0) for t in plan.tensors]
    by_dtype: dict[str, int] = {}
    for tensor, count in zip(plan.tensors, copies, strict=True):
        code = tensor.dtype.code
        by_dtype[code] = by_dtype.get(code, 0) + count * tensor.nbytes
    return {
        "tensors": sum(copies),
        "parameters": sum(t.numel for t in plan.tensors if t.kind == "parameter"),
        "buffers": sum(t.numel for t in plan.tensors if t.kind == "buffer"),
        "bytes": sum(by_dtype.values()),
        "by_dtype": by_dtype,
    }


def describe_tensors(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield the tensors of the resource; tensors with one program share its description."""
    described: dict[int, dict[str, Any]] = {}
    for tensor in plan.tensors:
        shown = tensor.program.source
        program = shown.shown if isinstance(shown, Materialized) else tensor.program
        if id(program) not in described:
            described[id(program)] = describe_program(program)
        foreseen = expected(program, tensor.shape)
        yield {
            "name": tensor.name,
            "shape": list(tensor.shape),
            "dtype": tensor.dtype.code,
            "bytes": tensor.nbytes,
            "kind": tensor.kind,
            "module": tensor.module,
            "aliases": list(tensor.aliases),
            "rule": tensor.rule,
            "program": described[id(program)],
            "fan_in": tensor.fan_in,
            "fan_out": tensor.fan_out,
            "expected": {"mean": foreseen.mean, "std": foreseen.std},
            "reproducibility": tensor.reproducibility,
        }


def describe_program(program: Program) -> dict[str, Any]:
    """Return a program's resolved arguments, without the stream's own constants."""
    described: dict[str, Any] = _without_details(to_json(program))
    return described


def describe_modules(plan: Plan) -> dict[str, Any]:
    """Return the root's class, its children, and every module below it by dotted name."""
    modules = [{"name": name, "class": cls} for name, cls in plan.modules]
    children = [module for module in modules if "." not in module["name"]]
    return {"class": plan.root, "children": children, "modules": modules}


def _without_details(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_details(v) for k, v in value.items() if k not in STREAM_DETAILS}
    return [_without_details(item) for item in value] if isinstance(value, list) else value
