"""Plan of a checkpoint, which fixes every byte of it, and the checkpoint id."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from seedpoint.models.dtypes import BY_CODE, DType
from seedpoint.models.plan import canonical_json
from seedpoint.models.plan.canonical_json import Serialized, SerializedList
from seedpoint.models.plan.program import Program
from seedpoint.models.plan.program_json import program_from_json, to_json
from seedpoint.models.plan.warning import PlanWarning

FORMAT = "seedpoint-plan-1"
STREAM = "philox-v1"

Reproducibility = Literal["everywhere", "platform"]


@dataclass(frozen=True, slots=True)
class PlanTensor:
    """One stored tensor: its names, type, size and program.

    `name` is the first of its names in state-dict order and `aliases` are the others. `module` is
    the class of the module that holds it, `rule` the index of the rule that gave its program (None:
    its own init), `reproducibility` the scope in which its bits hold.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    kind: str
    module: str
    program: Program
    aliases: tuple[str, ...] = ()
    rule: int | None = None
    fan_in: float | None = None
    fan_out: float | None = None
    reproducibility: Reproducibility = "everywhere"

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.dtype.nbytes(self.numel)


@dataclass(frozen=True)
class Plan:
    """Complete input of a checkpoint, which is a pure function of it.

    The canonical plan contains everything that fixes the bytes; its SHA-256 is the id. `files` are
    the small text files (`config.json`) that belong to the checkpoint. Descriptive data is recorded
    beside the canonical plan: a tensor's `kind`, `module`, `rule` and fans; the class of the root
    module; `modules`, (dotted name, class name) of every module below it in `named_modules()`
    order, a shared one under each of its names; warnings; `about`, the spec's name, description and
    labels. `platform` lists the further dependencies
    of a platform-bound plan.
    """

    seed: int
    generator: str
    spec: Mapping[str, Any]
    tensors: tuple[PlanTensor, ...]
    root: str = ""
    modules: tuple[tuple[str, str], ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    max_shard_size: int = 50_000_000_000
    ties: Literal["once", "each"] = "once"
    warnings: tuple[PlanWarning, ...] = ()
    platform: Mapping[str, Any] | None = None
    stream: str = STREAM
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reproducibility(self) -> Reproducibility:
        """Scope in which the bits hold: `everywhere` unless the plan is platform-bound."""
        return "everywhere" if self.platform is None else "platform"

    @cached_property
    def document(self) -> dict[str, Any]:
        """Canonical plan as JSON: each distinct program once, and tensors that refer to them."""
        programs, tensors = self._listed
        return {
            "format": FORMAT,
            "stream": self.stream,
            "seed": str(self.seed),
            "generator": self.generator,
            "spec": self.spec,
            "programs": programs,
            "tensors": tensors,
            "layout": {"max_shard_size": str(self.max_shard_size), "ties": self.ties},
            **({} if self.platform is None else {"platform": self.platform}),
            **({"files": self.files} if self.files else {}),
        }

    @cached_property
    def canonical(self) -> bytes:
        """Bytes of the canonical plan (RFC 8785)."""
        return canonical_json.text(self.document).encode()

    @cached_property
    def id(self) -> str:
        """Checkpoint id: SHA-256 of the canonical bytes, 64 hex digits."""
        return hashlib.sha256(self.canonical).hexdigest()

    @cached_property
    def record(self) -> bytes:
        """Stored form of the plan: a line of its canonical bytes, then a line that describes it."""
        return self.canonical + b"\n" + self._description

    def reseeded(self, seed: int, spec: Mapping[str, Any]) -> Plan:
        """Return the plan of `spec`, which differs from this plan's spec only in the seed."""
        plan = replace(self, seed=seed, spec=spec)
        plan.__dict__.update(_listed=self._listed, _description=self._description)
        return plan

    @cached_property
    def _listed(self) -> tuple[SerializedList, SerializedList]:
        """Distinct programs, and the tensors that refer to them."""
        programs = _Programs()
        tensors = SerializedList(_tensor_to_json(tensor, programs) for tensor in self.tensors)
        return programs.listed, tensors

    @cached_property
    def _description(self) -> bytes:
        description = {
            "root": self.root,
            "modules": [list(module) for module in self.modules],
            "warnings": [warning.to_json() for warning in self.warnings],
            **({"about": dict(self.about)} if self.about else {}),
            "tensors": [[t.kind, t.module, t.rule, t.fan_in, t.fan_out] for t in self.tensors],
        }
        return json.dumps(description).encode()

    @classmethod
    def from_record(cls, record: bytes) -> Plan:
        """Return the plan of a stored record.

        Raises:
            ValueError: The record has another format.
        """
        canonical, _, description = record.partition(b"\n")
        document = json.loads(canonical)
        plan = cls.from_json(document, json.loads(description or b"{}"))
        # Keep the bytes just read instead of serializing again; the store has checked them by id.
        plan.__dict__.update(document=document, canonical=canonical)
        return plan

    @classmethod
    def from_json(
        cls, document: Mapping[str, Any], description: Mapping[str, Any] | None = None
    ) -> Plan:
        """Return the plan of a canonical document.

        Raises:
            ValueError: The document has another format.
        """
        if document.get("format") != FORMAT:
            raise ValueError(_format_fault(document.get("format")))
        description = description or {}
        programs = [program_from_json(program) for program in document["programs"]]
        platform = document.get("platform")
        bound: Reproducibility = "everywhere" if platform is None else "platform"
        described = description.get("tensors") or [_NOTHING] * len(document["tensors"])
        return cls(
            seed=int(document["seed"]),
            generator=document["generator"],
            spec=canonical_json.restored(document["spec"]),
            tensors=tuple(
                _tensor_from_json(tensor, programs, more, bound)
                for tensor, more in zip(document["tensors"], described, strict=True)
            ),
            root=description.get("root", ""),
            modules=tuple((name, kind) for name, kind in description.get("modules", ())),
            files=document.get("files", {}),
            max_shard_size=int(document["layout"]["max_shard_size"]),
            ties=document["layout"]["ties"],
            warnings=tuple(map(PlanWarning.from_json, description.get("warnings", ()))),
            platform=platform,
            stream=document["stream"],
            about=description.get("about", {}),
        )


def _format_fault(found: object) -> str:
    if isinstance(found, str) and _FORMAT.fullmatch(found):
        return (
            f"a plan of format {found[:40]}, and this version of seedpoint knows {FORMAT}; "
            "upgrade seedpoint"
        )
    return f"not a plan of format {FORMAT}: {found!r}"


_FORMAT = re.compile(r"seedpoint-plan-[0-9]+")
_NOTHING = ("parameter", "", None, None, None)


def metadata(plan: Plan) -> tuple[dict[str, str], dict[str, str]]:
    """Return the header metadata: entries for every file, and entries for the first file only.

    `seedpoint.plan` is the plan without its spec, which is `seedpoint.spec`. Together they are the
    plan, so the checkpoint id can be computed from the header alone.
    """
    every = {"format": "pt", "seedpoint.id": plan.id, "seedpoint.stream": plan.stream}
    # Keys are sorted: the text before the spec has no "spec" key, the text after "stream" no
    # "stream" key.
    text = plan.canonical.decode()
    start, stop = text.index(',"spec":'), text.rindex(',"stream":"')
    first = {
        "seedpoint.spec": text[start + len(',"spec":') : stop],
        "seedpoint.plan": text[:start] + text[stop:],
    }
    return every, first


class _Programs:
    """Distinct programs, in the order of their first use."""

    def __init__(self) -> None:
        self.listed = SerializedList()
        self._by_text: dict[str, int] = {}
        self._by_id: dict[int, int] = {}

    def number(self, program: Program) -> int:
        """Return the program's index in `listed`, by its text.

        Equality would not do: 1 == True, and NaN != NaN.
        """
        if (number := self._by_id.get(id(program))) is None:
            document = Serialized(to_json(program))
            number = self._by_text.setdefault(document.text, len(self.listed))
            if number == len(self.listed):
                self.listed.append(document)
            self._by_id[id(program)] = number
        return number


def _tensor_to_json(tensor: PlanTensor, programs: _Programs) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype.code,
        "program": programs.number(tensor.program),
        **({"aliases": list(tensor.aliases)} if tensor.aliases else {}),
    }


def _tensor_from_json(
    document: Mapping[str, Any],
    programs: Sequence[Program],
    description: Sequence[Any],
    reproducibility: Reproducibility,
) -> PlanTensor:
    kind, module, rule, fan_in, fan_out = description
    return PlanTensor(
        name=document["name"],
        shape=tuple(document["shape"]),
        dtype=BY_CODE[document["dtype"]],
        kind=kind,
        module=module,
        program=programs[document["program"]],
        aliases=tuple(document.get("aliases", ())),
        rule=rule,
        fan_in=fan_in,
        fan_out=fan_out,
        reproducibility=reproducibility,
    )
