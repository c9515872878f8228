"""JSON form of programs: exact, without defaults, and the same for equal programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from seedpoint.models.draws import DRAWS
from seedpoint.models.formulas import FORMULAS
from seedpoint.models.plan.program import (
    Add,
    Base,
    Blob,
    Clamp,
    ClampRegion,
    Constant,
    Copy,
    Dirac,
    Divide,
    Exp,
    Expm1,
    Eye,
    FillRegion,
    HardThreshold,
    Literal,
    Log,
    Materialized,
    Norms,
    Opaque,
    Orthogonal,
    Part,
    Plus,
    Program,
    Reciprocal,
    Scale,
    SetElement,
    SingularVector,
    Softplus,
    Sparse,
    Split,
    Sqrt,
    Sum,
    ZeroRows,
)

_TYPES: Mapping[str, Any] = (
    DRAWS
    | FORMULAS
    | {
        cls.type: cls
        for cls in (
            *(Constant, Literal, Blob, Eye, Dirac),
            *(Orthogonal, Sparse, Materialized, Opaque, Split, Base),
            *(Norms, SingularVector, Sum, Copy),
            *(Scale, Add, Clamp, HardThreshold, ZeroRows, SetElement, FillRegion, ClampRegion),
            *(Divide, Exp, Expm1, Log, Reciprocal, Sqrt, Softplus, Plus),
        )
    }
)


def to_json(value: Any) -> Any:
    """Return the JSON form of a program, source, transform, part or scalar, without defaults.

    A program is its source's object, with a list `transforms` if it has any. Numbers that RFC 8785
    cannot hold (non-finite, negative zero, integers past 2^53) are strings; a complex number is
    `{"real": ..., "imag": ...}`.
    """
    if isinstance(value, Program):
        transforms = [to_json(transform) for transform in value.transforms]
        return to_json(value.source) | ({"transforms": transforms} if transforms else {})
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, complex):
        return {"real": to_json(value.real), "imag": to_json(value.imag)}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)
    if isinstance(value, float) and (not math.isfinite(value) or str(value) == "-0.0"):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    body = {
        item.name: to_json(getattr(value, item.name))
        for item in fields(value)
        if getattr(value, item.name) != item.default
    }
    return body if isinstance(value, Part) else {"type": value.type, **body}


def program_from_json(document: Mapping[str, Any]) -> Program:
    """Return the program whose JSON form is `document`: the inverse of `to_json`."""
    body = dict(document)
    transforms = tuple(_from_json(transform) for transform in body.pop("transforms", ()))
    return Program(_from_json(body), transforms)


def _from_json(document: Mapping[str, Any]) -> Any:
    body = dict(document)
    cls = _TYPES[body.pop("type")]
    if cls is Split:
        parts = tuple(Part(p["size"], program_from_json(p["program"])) for p in body["parts"])
        base = program_from_json(body["base"]) if "base" in body else None
        return cls(**{**body, "parts": parts, "base": base})
    if cls is Materialized:
        return Materialized(program_from_json(body["shown"]), _value(body.get("rules", ())))
    if cls is Norms:
        return Norms(program_from_json(body["of"]), tuple(body["shape"]), body["axis"])
    if cls is Sum:
        return Sum(tuple(program_from_json(term) for term in body["terms"]))
    if cls is Copy:
        body["of"] = program_from_json(body["of"])
        shape, strides = tuple(body.pop("shape")), tuple(body.pop("strides"))
        return Copy(shape=shape, strides=strides, **body)
    if cls is SingularVector:
        of, start = (program_from_json(body.pop(key)) for key in ("of", "start"))
        return SingularVector(of=of, start=start, **{k: _value(v) for k, v in body.items()})
    if cls is Plus:
        return Plus(tuple(_from_json(transform) for transform in body["transforms"]))
    strings = {"stream", "sha256", "dtype", "layout", "expression"}
    return cls(**{k: v if k in strings else _value(v) for k, v in body.items()})


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value(item) for item in value)
    if isinstance(value, Mapping):
        return complex(_value(value["real"]), _value(value["imag"]))
    if isinstance(value, str):
        return int(value) if value.lstrip("-").isdigit() else float(value)
    if type(value) is int and abs(value) >= 2**53:
        return float(value)  # long integers are strings: this number is a float in RFC 8785 form
    return value
