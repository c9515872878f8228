"""Detection of constructor side effects that bypass the recorder."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seedpoint.models.tape.errors import RecordingError
from seedpoint.models.tape.recorder import Recorder
from seedpoint.models.tape.storages import unrecorded

# seed of all generators during a recording, so that any other seeding is noticed
_SEED = 0x5EED0000
_MISSING = object()


@contextmanager
def watched(recorder: Recorder) -> Iterator[None]:
    """Give hidden reads known values and refuse unrecordable calls while the context lasts.

    Generators and the default dtype are restored afterwards.

    Raises:
        RecordingError: A generator was used in the context; raised at its end.
    """
    default_dtype = torch.get_default_dtype()
    with _untouched_generators(), ExitStack() as stack:
        stack.callback(torch.set_default_dtype, default_dtype)
        for owner, name, value in _replacements(recorder):
            stack.enter_context(_replaced(owner, name, value))
        yield


def _replacements(recorder: Recorder) -> Iterator[tuple[Any, str, Any]]:
    def refused(what: str, why: str) -> Callable[..., Any]:
        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise recorder.refuse(what, why)

        return refuse

    for module in (torch, torch.random):
        for name in ("manual_seed", "seed", "set_rng_state", "initial_seed"):
            why = "values would depend on more than the checkpoint's seed"
            yield module, name, refused(f"torch.{name}", why)
    for module, shown in ((random, "random"), (np.random, "numpy.random")):
        for name in _functions(module):
            why = "its values do not come from PyTorch's generator"
            yield module, name, refused(f"{shown}.{name}", why)
    yield torch, "save", refused("torch.save", "it writes values that are not computed yet")
    yield threading.Thread, "start", refused("a thread", "it would run unrecorded")
    yield np.random, "default_rng", _seeded(recorder, np.random.default_rng)
    yield torch, "tensor", _numbers_first(recorder, torch.tensor)
    yield torch, "as_tensor", _numbers_first(recorder, torch.as_tensor)
    for name in ("numpy", "tolist", "__dlpack__"):
        yield Tensor, name, _on_value(recorder, name)


def _functions(module: Any) -> Iterator[str]:
    """Yield the functions of `module` that are methods of its hidden generator."""
    hidden = module.random.__self__
    for name, value in vars(module).items():
        if getattr(value, "__self__", None) is hidden and name not in ("getstate", "get_state"):
            yield name


def _seeded(recorder: Recorder, default_rng: Callable[..., Any]) -> Callable[..., Any]:
    def seeded(seed: Any = None) -> Any:
        if seed is None:
            raise recorder.refuse("numpy.random.default_rng()", "it is seeded by the system")
        return default_rng(seed)

    return seeded


def _on_value(recorder: Recorder, name: str) -> Callable[..., Any]:
    """Return the memory-reading method `name` of Tensor, applied to the tensor's known values."""
    original = getattr(Tensor, name)

    def read(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        value = recorder.value(self, f"Tensor.{name}")
        with unrecorded():
            result = original(value.requires_grad_(self.requires_grad), *args, **kwargs)
        if isinstance(result, np.ndarray):
            result.flags.writeable = False  # a write there would not be recorded
        return result

    return read


def _numbers_first(recorder: Recorder, original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `torch.tensor` or the like, which reads tensors in a list without any operation."""

    def numbers(data: Any) -> Any:
        if isinstance(data, Tensor):
            return recorder.value(data, f"torch.{original.__name__}").tolist()
        return type(data)(map(numbers, data)) if type(data) in (list, tuple) else data

    def made(data: Any, *args: Any, **kwargs: Any) -> Any:
        return original(numbers(data) if type(data) in (list, tuple) else data, *args, **kwargs)

    return made


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = vars(owner).get(name, _MISSING)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is _MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


@contextmanager
def _untouched_generators() -> Iterator[None]:
    """Seed the generators with `_SEED`, restore them afterwards, and raise if one has moved."""
    before = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    random.seed(_SEED)
    np.random.seed(_SEED)
    torch.default_generator.manual_seed(_SEED)
    start = _states()
    try:
        yield
        moved = [name for name, state in _states().items() if state != start[name]]
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.default_generator.set_state(before[2])
    if moved:
        raise RecordingError(f"cannot record a construction that used or seeded {moved[0]}")


def _states() -> dict[str, object]:
    numpy_state: Any = np.random.get_state()
    return {
        "Python's random generator": random.getstate(),
        "NumPy's global generator": (numpy_state[1].tobytes(), *numpy_state[2:]),
        "torch's generator": torch.default_generator.get_state().numpy().tobytes(),
    }
