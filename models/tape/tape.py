"""Tape: a module's own init, recorded per tensor while the module is built on phantoms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from seedpoint.models.dtypes import BY_TORCH, DType
from seedpoint.models.plan.program import Program
from seedpoint.models.tape.errors import RecordingError
from seedpoint.models.tape.init_functions import recorded_units
from seedpoint.models.tape.journal import Journal, Operation, TensorRef
from seedpoint.models.tape.power_method import recorded_power_method
from seedpoint.models.tape.programs import Compiler
from seedpoint.models.tape.recorder import Recorder
from seedpoint.models.tape.replay import Memory
from seedpoint.models.tape.side_effects import watched


@dataclass(frozen=True, slots=True)
class TapeTensor:
    """One tensor of a module's state dict.

    `name` is its first name in `state_dict()` order, `aliases` its other names in that order.
    `kind` is `parameter` or `buffer`. `program` is its own init with philox semantics. When it is
    None, `reason` says why (`never written`, or the operation without a program), and `is_defined`
    says whether running the code gives the tensor values all the same.
    """

    name: str
    aliases: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: DType
    kind: str
    program: Program | None
    reason: str | None
    is_defined: bool = True


@dataclass(frozen=True, slots=True)
class Tape:
    """Recorded construction of a module.

    `module` is the built module, on phantom tensors, which cannot be read. `tensors` are the
    distinct tensors of its state dict, in that order. `literals` maps SHA-256 to the bytes that
    their programs name.
    """

    module: nn.Module
    tensors: tuple[TapeTensor, ...]
    literals: Mapping[str, bytes]
    journal: Journal
    refs: tuple[TensorRef, ...]

    def replay(self, seed: int) -> dict[str, Tensor]:
        """Return the state dict after `torch.manual_seed(seed)` and the construction, bit for bit.

        The replay proves the recording: it runs, in order and with torch's own sequential
        generator, every random operation and the operations on which these and the state dict
        depend. Tensors never written hold zeros.
        """
        memory = Memory(self.journal)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            memory.run(self._replayed())
        return {
            name: memory.tensor(ref)
            for tensor, ref in zip(self.tensors, self.refs, strict=True)
            for name in (tensor.name, *tensor.aliases)
        }

    def _replayed(self) -> list[Operation]:
        operations = self.journal.operations
        random = [operation for operation in operations if operation.random]
        roots = [(ref.storage, len(operations)) for ref in self.refs]
        roots += [(ref.storage, draw.number) for draw in random for ref in draw.reads]
        live = {*self.journal.past(roots).operations, *(draw.number for draw in random)}
        return [operations[number] for number in sorted(live)]


def record(build: Callable[[], nn.Module]) -> Tape:
    """Record `build()`, which constructs ordinary modules in the ordinary way.

    Nothing is drawn, and large tensors take no memory, whatever their size. PyTorch is patched
    meanwhile: one thread of a process may record at a time. Errors of `build` propagate.

    Raises:
        RecordingError: The construction cannot be recorded.
    """
    module, recorder, entries = _built(build)
    return _tape(module, recorder.journal, entries)


def _built(build: Callable[[], nn.Module]) -> tuple[nn.Module, Recorder, list[_Entry]]:
    recorder = Recorder()
    with watched(recorder), recorded_units(recorder), recorded_power_method(recorder):
        try:
            with recorder:
                module = build()
                entries = _entries(module, recorder)
        except Exception as error:
            if recorder.error is not None and error is not recorder.error:
                raise recorder.error from error
            raise
        recorder.finish()
    return module, recorder, entries


def imagined(build: Callable[[], nn.Module]) -> nn.Module:
    """Return the module of `build()` on phantom tensors, useful only for shapes and dtypes.

    Raises the same errors as `record`.
    """
    return _built(build)[0]


def unsaved_buffers(build: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """Return the values of the buffers of `build()` that its state dict leaves out, by name.

    The tensors are real and of their own. The rest of the construction is recorded and not run, so
    that a model of any size takes no memory for its parameters.

    Raises:
        RecordingError: The construction cannot be recorded, or the values are random, never
            written, or more than 2 GiB.
    """
    module, recorder, _ = _built(build)
    found = {
        f"{prefix}.{local}" if prefix else local: buffer
        for prefix, each in module.named_modules(remove_duplicate=False)
        for local, buffer in each.named_buffers(recurse=False, remove_duplicate=False)
        if local in each._non_persistent_buffers_set
    }
    return {name: recorder.value(buffer, f"the buffer {name}") for name, buffer in found.items()}


@dataclass(frozen=True, slots=True)
class _Entry:
    ref: TensorRef
    names: list[str]
    kind: str


def _entries(module: nn.Module, recorder: Recorder) -> list[_Entry]:
    """Return the distinct tensors of the state dict, in its order."""
    entries: dict[TensorRef, _Entry] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        if not isinstance(value, Tensor):
            continue  # the extra state of a module may be any object
        if is_lazy(value):
            raise RecordingError(f"{name!r} is lazy and has no shape; give `input_shape`")
        if value.dtype not in BY_TORCH:
            raise RecordingError(
                f"{name!r} has dtype {value.dtype}, which safetensors cannot store"
            )
        kind = "parameter" if isinstance(value, nn.Parameter) else "buffer"
        ref = recorder.ref(value)
        entries.setdefault(ref, _Entry(ref, [], kind)).names.append(name)
    return list(entries.values())


def _tape(module: nn.Module, journal: Journal, entries: list[_Entry]) -> Tape:
    compiler = Compiler(journal, [(entry.names[0], entry.ref) for entry in entries])
    tensors = []
    for index, entry in enumerate(entries):
        own = compiler.own(index)
        first, *others = entry.names
        dtype = BY_TORCH[entry.ref.dtype]
        tensors.append(
            TapeTensor(
                *(first, tuple(others), entry.ref.size, dtype, entry.kind),
                *(own.program, own.reason, own.program is not None or compiler.is_defined(index)),
            )
        )
    refs = tuple(entry.ref for entry in entries)
    return Tape(module, tuple(tensors), compiler.literals, journal, refs)
