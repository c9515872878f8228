"""Sequential generators, which reproduce a script by running as that script would run.

Under generator `torch` the module is really built after `torch.manual_seed(seed)`, on a CPU in
float32. Then the rules are applied in `Module.apply` order (children first; a module's own
parameters and then its buffers in registration order; transforms at once), and each tensor is
converted. Under `numpy` the rules draw from NumPy's legacy `RandomState(seed)` instead, in the same
order. These bits belong to one version and CPU capability of torch, so the tensors are made once
and kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from seedpoint.models.architectures import Tensors, build
from seedpoint.models.draws import Draw
from seedpoint.models.dtypes import BY_NAME
from seedpoint.models.errors import PlatformMismatch
from seedpoint.models.files.blobs import NO_BLOBS, Blobs, elements
from seedpoint.models.generation.copied_elements import copied
from seedpoint.models.generation.evaluator import ReadBytes
from seedpoint.models.plan.plan import Plan, PlanTensor
from seedpoint.models.plan.program import (
    Base,
    Blob,
    Constant,
    Copy,
    Dirac,
    Eye,
    Formula,
    Literal,
    Materialized,
    Norms,
    Orthogonal,
    Program,
    Source,
    Sparse,
    Split,
    Sum,
    Transform,
)
from seedpoint.models.planning.compiler import Planned
from seedpoint.models.rules.resolve import Resolved
from seedpoint.models.rules.rule import Candidate
from seedpoint.models.spec.schema import Spec
from seedpoint.models.stream.apply_transforms import EXACT, TORCH, Functions, apply


def platform() -> dict[str, Any]:
    """Return the dependencies of a sequential generator's bits.

    These are the versions of torch and NumPy, the CPU capability and the number of threads.
    """
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


def check_platform(plan: Plan) -> None:
    """Check that this host can make the bits of `plan`.

    Raises:
        PlatformMismatch: The plan belongs to another platform.
    """
    here = platform()
    if plan.platform is not None and dict(plan.platform) != here:
        raise PlatformMismatch(
            f"checkpoint {plan.id} was made by {dict(plan.platform)}, and its bits can be "
            f"reproduced only there; this host is {here}"
        )


def materialize(spec: Spec, planned: Planned, blobs: Blobs = NO_BLOBS) -> dict[str, torch.Tensor]:
    """Return every stored tensor of a platform-bound plan, by canonical name, in its own dtype.

    The whole checkpoint is held in memory. `blobs` reads the files that the spec names.

    Raises:
        PlatformMismatch: The plan belongs to another platform.
    """
    plan = planned.plan
    check_platform(plan)
    run = _Run(spec, planned, blobs)
    torch.manual_seed(plan.seed)
    if isinstance(spec.architecture, Tensors):
        for tensor in plan.tensors:
            run.make(tensor)
        run.finish()
        return {
            tensor.name: run.value(tensor.name).to(tensor.dtype.torch) for tensor in plan.tensors
        }
    module = build(spec.architecture, dtype=spec.model_dtype).module
    run.visit(module)
    run.finish()
    state = module.state_dict(keep_vars=False)
    return {
        tensor.name: run.replaced.get(tensor.name, state[tensor.name]).to(tensor.dtype.torch)
        if tensor.dtype.is_floating
        else state[tensor.name]
        for tensor in plan.tensors
    }


def materialized(spec: Spec, planned: Planned, blobs: Blobs = NO_BLOBS) -> dict[str, ReadBytes]:
    """Return readers of every stored tensor from memory, by canonical name, for an evaluator."""
    tensors = materialize(spec, planned, blobs)
    found: dict[str, ReadBytes] = {}
    for tensor, data in zip(planned.plan.tensors, raw(planned.plan, tensors), strict=True):
        found[tensor.name] = partial(_part, data)
    return found


def readers(plan: Plan, read: ReadBytes) -> dict[str, ReadBytes]:
    """Return a reader of each tensor of `plan`; `read` reads them all in the plan's order."""
    found: dict[str, ReadBytes] = {}
    at = 0
    for tensor in plan.tensors:
        found[tensor.name] = partial(_shifted, read, at)
        at += tensor.nbytes
    return found


def _part(data: memoryview, start: int, stop: int) -> memoryview:
    return data[start:stop]


def _shifted(read: ReadBytes, by: int, start: int, stop: int) -> bytes | memoryview:
    return read(by + start, by + stop)


def raw(plan: Plan, tensors: Mapping[str, torch.Tensor]) -> Iterator[memoryview]:
    """Yield the bytes of `tensors` in the plan's order, which `readers` expects."""
    for tensor in plan.tensors:
        flat = tensors[tensor.name].detach().contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy().data if len(flat) else memoryview(b"")


class _Run:
    """One run of the script that a platform-bound plan stands for."""

    def __init__(self, spec: Spec, planned: Planned, blobs: Blobs) -> None:
        plan = planned.plan
        self.matches = [rule.match for rule in spec.init.rules]
        self.blobs = planned.blobs
        self.blob_files = blobs
        self.resolved = planned.resolved
        self.tensors = {
            name: tensor for tensor in plan.tensors for name in (tensor.name, *tensor.aliases)
        }
        self.replaced: dict[str, torch.Tensor] = {}
        self.values: dict[str, torch.Tensor] = {}
        self.copies: dict[str, tuple[torch.Tensor, PlanTensor, Resolved]] = {}
        self.transformed: set[str] = set()
        self.functions = TORCH if plan.generator == "torch" else EXACT
        self.generator = np.random.RandomState(plan.seed) if plan.generator == "numpy" else None

    def visit(self, module: nn.Module) -> None:
        """Apply the rules to every tensor in `Module.apply` order.

        A tied tensor is visited under each of its modules, and its rule is applied where it
        matches. If different rules win its names, each is applied under its own name.
        """
        prefixes: dict[int, list[str]] = {}
        for name, inner in module.named_modules(remove_duplicate=False):
            prefixes.setdefault(id(inner), []).append(f"{name}." if name else "")
        for prefix, owner, again in _applied(module):
            classes = frozenset(cls.__name__ for cls in type(owner).__mro__)
            own = {**owner._parameters, **owner._buffers}
            for local, value in own.items():
                tensor = self.tensors.get(prefix + local)
                if tensor is None or value is None:
                    continue
                self.values[tensor.name] = value.detach()
                if _in_turn(tensor):
                    if (resolved := self.resolved.get(prefix + local)) is not None:
                        self._fill(value.detach(), tensor, resolved)
                    continue
                names = [prefix + local for prefix in prefixes[id(owner)]]
                resolved = None if again else self.resolved.get(tensor.name)
                if resolved is not None and any(
                    self._matches(tensor, name, classes) for name in names
                ):
                    self._fill(value.detach(), tensor, resolved)

    def _matches(self, tensor: PlanTensor, name: str, classes: frozenset[str]) -> bool:
        """Return whether the rule of `tensor` matches it under this name."""
        assert tensor.rule is not None
        candidate = Candidate(name, classes, len(tensor.shape), tensor.kind)
        return self.matches[tensor.rule].captures(candidate) is not None

    def make(self, tensor: PlanTensor) -> None:
        """Make a tensor without a module, and fill it by its rule."""
        floating = tensor.dtype.is_floating
        value = torch.empty(tensor.shape, dtype=torch.float32 if floating else tensor.dtype.torch)
        self.values[tensor.name] = value
        self._fill(value, tensor, self.resolved[tensor.name])

    def value(self, name: str) -> torch.Tensor:
        """Return the value of a tensor by its first name."""
        return self.replaced.get(name, self.values[name])

    def finish(self) -> None:
        """Fill the tensors that copy others, after all others and in the order of their needs."""
        while self.copies:
            self._settle(next(iter(self.copies)))

    def _settle(self, name: str) -> None:
        if (waiting := self.copies.pop(name, None)) is not None:
            self._run(*waiting)

    def _fill(self, value: torch.Tensor, tensor: PlanTensor, resolved: Resolved) -> None:
        if any(map(_copies, resolved.sources)):
            self.copies[tensor.name] = (value, tensor, resolved)
        else:
            self._run(value, tensor, resolved)

    def _run(self, value: torch.Tensor, tensor: PlanTensor, resolved: Resolved) -> None:
        """Run the rule on `value` in place.

        NumPy's draws are converted once from float64 to the tensor's dtype, a float64 tensor takes
        given numbers exactly, and a tensor of a blob's dtype its bits, so these replace `value`.
        """
        # A tied tensor is visited under each of its modules, but has one own init.
        again = tensor.name in self.transformed and not _in_turn(tensor)
        if again and resolved.keeps_own:
            return
        self.transformed.add(tensor.name)
        if tensor.dtype.is_floating and resolved.sources and self._wide(tensor, resolved):
            self._run_wide(value, tensor, resolved)
        else:
            for source in resolved.sources:
                self._source(value, source)
            self.replaced.pop(tensor.name, None)  # the value that another rule gave it before
            transform(value, resolved.transforms, self.functions)
        last = Program(resolved.sources[-1], resolved.transforms) if resolved.sources else None
        if last is not None and (blob := copied(last, tensor.dtype)) is not None:
            self.replaced[tensor.name] = self._given(blob)

    def _run_wide(self, value: torch.Tensor, tensor: PlanTensor, resolved: Resolved) -> None:
        *earlier, last = resolved.sources
        for source in earlier:  # in float32, because torch draws other numbers in float64
            self._source(value, source)
        wide = value.to(torch.float64)
        self._source(wide, last)
        working = torch.float64 if tensor.dtype.name == "float64" else torch.float32
        if resolved.transforms:
            wide = wide.to(working)
            transform(wide, resolved.transforms, self.functions)
        self.replaced[tensor.name] = wide.to(tensor.dtype.torch)
        value.copy_(wide)

    def _given(self, source: Blob) -> torch.Tensor:
        """Return the elements of a tensor in a blob, in its own dtype."""
        flat = elements(self.blob_files, source, 0, math.prod(source.shape))
        return flat.view(source.shape)

    def _wide(self, tensor: PlanTensor, resolved: Resolved) -> bool:
        given = not Program(resolved.sources[-1]).draws
        return self.generator is not None or (given and tensor.dtype.name == "float64")

    def _source(self, value: torch.Tensor, source: Source) -> None:
        match source:
            case Split():
                self._split(value, source)
            case Base():
                pass  # the module's own values stay
            case Constant() | Literal() | Eye() | Dirac() | Formula():
                _give(value, source, self.blobs)
            case Blob():
                value.copy_(self._given(source))
            case Sum(terms=terms):
                total = torch.empty_like(value)
                self._source(total, terms[0].source)
                for term in terms[1:]:
                    added = torch.empty_like(value)
                    self._source(added, term.source)
                    total += added
                value.copy_(total)
            case Copy() | Norms():
                self._of_another(value, source)
            case Draw() if self.generator is not None:
                drawn = source.sample(self.generator, tuple(value.shape))
                value.copy_(torch.from_numpy(drawn))
            case Draw():
                source.fill(value)
            case Orthogonal(gain=gain):
                matrix = value.new_empty(source.matrix(tuple(value.shape)))
                nn.init.orthogonal_(matrix, gain)
                value.copy_(matrix.view(value.shape))
            case Sparse(sparsity=sparsity, std=std):
                nn.init.sparse_(value, sparsity, std)
            case _:
                raise AssertionError(f"{source.type} is not a draw")

    def _of_another(self, value: torch.Tensor, source: Copy | Norms) -> None:
        """Fill a value from another tensor, which is made first."""
        if isinstance(source, Norms):
            matrix = value.new_empty(source.shape)
            self._source(matrix, source.of.source)
            norms = torch.norm_except_dim(matrix.view(source.matrix), 2, source.axis)
            value.copy_(norms.view(value.shape))
            return
        self._settle(source.name)
        other = self.value(source.name).reshape(-1).clone()
        value.copy_(other.as_strided(value.shape, source.strides, source.offset))

    def _split(self, value: torch.Tensor, split: Split) -> None:
        parts = split.parts * split.repeat
        pieces = value.split([part.size for part in parts], split.axis)
        for kept, part in zip(pieces, parts, strict=True):
            piece = kept.squeeze(split.axis) if split.squeeze else kept
            self._source(piece, part.program.source)
            if part.program.transforms:
                flat = piece.reshape(-1).clone()
                apply(part.program.transforms, flat, 0, tuple(piece.shape), self.functions)
                piece.copy_(flat.view(piece.shape))


def _applied(
    module: nn.Module, prefix: str = "", *, again: bool = False
) -> Iterator[tuple[str, nn.Module, bool]]:
    """Yield each module under each of its names, children first.

    The flag is true for a name that `Module.apply` skips: it visits a child once when one module
    holds it under two names.
    """
    seen: set[nn.Module] = set()
    for name, child in module._modules.items():
        if child is not None:
            yield from _applied(child, f"{prefix}{name}.", again=again or child in seen)
            seen.add(child)
    yield prefix, module, again


def _copies(source: Source) -> bool:
    """Return whether a source copies another tensor."""
    match source:
        case Split(parts=parts):
            return any(_copies(part.program.source) for part in parts)
        case Sum(terms=terms):
            return any(_copies(term.source) for term in terms)
        case _:
            return isinstance(source, Copy | Norms)


def transform(
    value: torch.Tensor, transforms: Sequence[Transform], functions: Functions = EXACT
) -> None:
    """Apply `transforms` to `value` in place, in logical order however it lies in memory."""
    flat = value.reshape(-1)  # a copy, if the elements are not contiguous
    apply(transforms, flat, 0, tuple(value.shape), functions)
    if not value.is_contiguous():
        value.copy_(flat.view(value.shape))


def _in_turn(tensor: PlanTensor) -> bool:
    """Return whether different rules fill the tensor, each under the names that it wins."""
    source = tensor.program.source
    return isinstance(source, Materialized) and bool(source.rules)


def _give(
    value: torch.Tensor,
    source: Constant | Literal | Eye | Dirac | Formula,
    blobs: Mapping[str, bytes],
) -> None:
    match source:
        case Constant(value=constant):
            value.fill_(constant)
        case Literal(sha256=sha256, dtype=dtype) if value.numel():
            raw = bytearray(blobs[sha256])
            value.copy_(torch.frombuffer(raw, dtype=BY_NAME[dtype].torch).view(value.shape))
        case Eye():
            nn.init.eye_(value)
        case Formula():
            shape = tuple(value.shape)
            value.copy_(source.values(0, value.numel(), shape).view(shape))
        case Dirac(groups=groups):
            nn.init.dirac_(value, groups)
