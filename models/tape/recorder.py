"""Recorder of PyTorch operations, which are written down and not run, on phantom tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from seedpoint.models.tape.errors import RecordingError, calling_line, refusal
from seedpoint.models.tape.geometry import row_major
from seedpoint.models.tape.journal import Journal, Operation, TensorRef, mapped, refs
from seedpoint.models.tape.operator_traits import Traits, traits_of
from seedpoint.models.tape.replay import FixedValues, UnknownValueError
from seedpoint.models.tape.shapes import META, as_meta, inferred, rehearsed, tensors_in
from seedpoint.models.tape.storages import Storages, unrecorded

_aten = torch.ops.aten
# The expression that a caller writes for an operator, for messages.
_SHOWN = {"aten._local_scalar_dense.default": "item(), or a branch on a tensor"}
_Args = tuple[Any, ...]
_Kwargs = dict[str, Any]


class Recorder(TorchDispatchMode):
    """Dispatch mode that makes every new tensor a phantom and adds operations to a journal.

    Shapes come from meta kernels. Values are computed only where Python asks for them, and only
    when they do not depend on random values. The first RecordingError is kept in `error` and raised
    again at every later operation, so code that swallows it cannot yield a wrong recording.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.journal = Journal()
        self.error: RecordingError | None = None
        self._storages = Storages(self.journal)
        self._fixed = FixedValues(self.journal)
        # Fast path for the most frequent operators; all others go through `_any`.
        self._short: Mapping[Any, Callable[[OpOverload, _Args, _Kwargs], Any]] = {
            _aten.empty.memory_format: self._empty,
            _aten.uniform_.default: self._fill,
            _aten.normal_.default: self._fill,
            _aten.fill_.Scalar: self._fill,
            _aten.zero_.default: self._fill,
        }

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else every operation goes through a wrapper that imports the compiler

    def refuse(self, what: str, why: str) -> RecordingError:
        """Keep and return the error that `what` cannot be recorded; an earlier error wins."""
        self.error = self.error or refusal(what, why)
        return self.error

    def ref(self, tensor: Tensor) -> TensorRef:
        """Return the reference to `tensor`.

        Raises:
            RecordingError: The tensor is not on the CPU or not a plain view of a storage.
        """
        try:
            return self._storages.ref(tensor)
        except RecordingError as error:
            self.error = self.error or error
            raise

    def value(self, tensor: Tensor, what: str) -> Tensor:
        """Return a real tensor with the values of `tensor`, which the operation `what` reads.

        Raises:
            RecordingError: The values are random or undefined.
        """
        ref = self.ref(tensor)
        try:
            with unrecorded():
                return self._fixed.value(ref, len(self.journal.operations))
        except UnknownValueError as error:
            raise self.refuse(what, f"it reads values that {error}") from None

    def record_unit(
        self, original: Callable[..., Any], tensor: Tensor, args: Sequence[Any], *, random: bool
    ) -> Tensor:
        """Record a whole function of `torch.nn.init`, which overwrites `tensor`."""
        if self.error is not None:
            raise self.error
        original(as_meta(tensor), *args)  # checks the arguments; it does nothing else on meta
        if not tensor.is_meta:
            self._add_fill(original.__name__, original, self.ref(tensor), args, random=random)
        return tensor

    def finish(self) -> None:
        """Raise the error of this recording, if it has one."""
        if self.error is None and self._storages.changed():
            self.error = RecordingError(
                "cannot record a construction that changed a tensor's memory outside PyTorch"
            )
        if self.error is not None:
            raise self.error

    # --- dispatch -------------------------------------------------------------------

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: _Args = (),
        kwargs: _Kwargs | None = None,
    ) -> Any:
        if self.error is not None:
            raise self.error
        short = self._short.get(func)
        if short is not None:
            return short(func, args, kwargs or {})
        return self._any(func, traits_of(func), args, kwargs or {})

    def _any(self, func: OpOverload, traits: Traits, args: _Args, kwargs: _Kwargs) -> Any:
        device = kwargs.get("device")
        if device is None:
            device = META if any(t.is_meta for t in tensors_in(args, kwargs)) else None
        if device == META:
            return func(*args, **kwargs)
        self._check(traits, args, kwargs)
        if traits.checks:
            return None
        if traits.native:
            return self._native(func, traits, args, kwargs)
        if traits.valued:
            return self._run_on_values(func, traits, args, kwargs)
        try:
            shapes = inferred(func, args, kwargs)
        except NotImplementedError:
            shapes = rehearsed(func, args, kwargs)
            if shapes is None:
                return self._run_on_values(func, traits, args, kwargs)
        return self._recorded(func, traits, args, kwargs, shapes)

    def _check(self, traits: Traits, args: _Args, kwargs: _Kwargs) -> None:
        device = kwargs.get("device")
        if not traits.ours:
            raise self.refuse(traits.name, "only PyTorch's own operators can be recorded")
        if device is not None and device.type != "cpu":
            raise self.refuse(traits.name, f"it is for the device {device}, not the CPU")
        if any(isinstance(value, torch.Generator) for value in (*args, *kwargs.values())):
            raise self.refuse(traits.name, "it draws from a generator of its own")

    def _native(self, func: OpOverload, traits: Traits, args: _Args, kwargs: _Kwargs) -> Any:
        """Run a view or a change of shape, because it touches no elements."""
        for tensor in tensors_in(args, kwargs):
            self.ref(tensor)
        if traits.resizes:
            new = args[1].numel() if isinstance(args[1], Tensor) else math.prod(args[1])
            if new > args[0].numel():
                raise self.refuse(
                    traits.name, f"it enlarges a tensor of {args[0].numel()} elements"
                )
        return func(*args, **kwargs)

    def _run_on_values(self, func: OpOverload, traits: Traits, args: _Args, kwargs: _Kwargs) -> Any:
        """Run an operator whose result goes to Python or decides the shape of later tensors."""
        if traits.written or traits.random:
            raise self.refuse(traits.name, "the shape of its result depends on values")

        def value(tensor: Tensor) -> Tensor:
            return self.value(tensor, _SHOWN.get(traits.name, traits.name))

        named = {name: mapped(argument, Tensor, value) for name, argument in kwargs.items()}
        return func(*mapped(args, Tensor, value), **named)

    # --- recording --------------------------------------------------------------------

    def _recorded(
        self, func: OpOverload, traits: Traits, args: _Args, kwargs: _Kwargs, shapes: Any
    ) -> Any:
        """Record `func` and return its results: phantom tensors of the shapes in `shapes`."""
        given = dict(zip(traits.parameters, args, strict=False)) | kwargs
        results: list[TensorRef | None] = []

        def result(shape: Any, name: str | None) -> Any:
            if not isinstance(shape, Tensor) or name is not None:
                results.append(None)
                return shape if name is None else self._returned(traits, given[name], shape)
            size = tuple(shape.size())
            tensor = self._storages.allocated(size, shape.stride(), shape.dtype)
            results.append(self.ref(tensor))
            return tensor

        returned = _like_returned(shapes, traits.returned, result)
        if not traits.allocates:
            self._write_down(func, traits, args, kwargs, tuple(results))
        return returned

    def _write_down(
        self,
        func: OpOverload,
        traits: Traits,
        args: _Args,
        kwargs: _Kwargs,
        results: tuple[TensorRef | None, ...],
    ) -> None:
        recorded = mapped(args, Tensor, self._ref_or_meta)
        named = {name: mapped(v, Tensor, self._ref_or_meta) for name, v in kwargs.items()}
        by_name = dict(zip(traits.parameters, recorded, strict=False)) | named
        written = [ref for name in traits.written for ref in refs(by_name.get(name))]
        writes = (*written, *(ref for ref in results if ref is not None))
        reads = [r for k, value in by_name.items() if k not in traits.unread for r in refs(value)]
        if writes:
            self.journal.add(
                Operation(
                    *(len(self.journal.operations), traits.name, func, recorded, named),
                    *(tuple(reads), writes, results, traits.overwrites, traits.random),
                    calling_line(),
                )
            )

    def _returned(self, traits: Traits, argument: Any, shape: Any) -> Any:
        """Return the argument that an operator returns, after checking that it was not resized."""
        if isinstance(argument, Tensor) and argument.size() != shape.size():
            raise self.refuse(traits.name, f"it resizes {tuple(argument.size())}, its output")
        return argument

    def _ref_or_meta(self, tensor: Tensor) -> TensorRef | Tensor:
        return tensor if tensor.is_meta else self.ref(tensor)

    def _empty(self, func: OpOverload, args: _Args, kwargs: _Kwargs) -> Any:
        device, layout = kwargs.get("device"), kwargs.get("layout")
        on_cpu = device is None or device.type == "cpu"
        if not on_cpu or layout not in (None, torch.strided) or kwargs.get("memory_format"):
            return self._any(func, traits_of(func), args, kwargs)
        for size in args[0]:
            if size < 0:
                message = f"Trying to create tensor with negative dimension {size}"
                raise RuntimeError(f"{message}: {list(args[0])}")  # the message of torch itself
        dtype = kwargs.get("dtype") or torch.get_default_dtype()
        return self._storages.allocated(args[0], row_major(args[0]), dtype)

    def _fill(self, func: OpOverload, args: _Args, kwargs: _Kwargs) -> Any:
        """Record an operator that overwrites its first argument and otherwise takes numbers."""
        if kwargs or args[0].is_meta:
            return self._any(func, traits_of(func), args, kwargs)
        traits = traits_of(func)
        # Check the arguments; a number is checked only if there is an element to hold it.
        func(torch.empty(0 if traits.random else 1, dtype=args[0].dtype), *args[1:])
        self._add_fill(traits.name, func, self.ref(args[0]), args[1:], random=traits.random)
        return args[0]

    def _add_fill(
        self, name: str, function: Any, ref: TensorRef, args: Sequence[Any], *, random: bool
    ) -> None:
        self.journal.add(
            Operation(
                *(len(self.journal.operations), name, function, (ref, *args), {}, (), (ref,)),
                *((), True, random, calling_line()),
            )
        )


def _like_returned(
    shapes: Any, names: tuple[str | None, ...], result: Callable[[Any, str | None], Any]
) -> Any:
    """Return `shapes` in the structure that an operator returns, with `result` applied to each."""
    if not isinstance(shapes, list | tuple):
        return result(shapes, names[0]) if names else shapes
    if len(names) == 1:  # one result, a list of tensors
        return type(shapes)(result(shape, None) for shape in shapes)
    return tuple(result(shape, name) for shape, name in zip(shapes, names, strict=True))
