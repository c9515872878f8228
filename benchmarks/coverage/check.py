"""Check of one model type: its replayed recording against the model's real construction."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from benchmarks.coverage.shrink import configs
from seedpoint.models.architectures.huggingface import Transformers
from seedpoint.models.architectures.huggingface.recipe import TransformersRecipe
from seedpoint.models.errors import SpecError
from seedpoint.models.tape import RecordingError, Tape, record

SEED = 20_240_229
MAX_ELEMENTS = 150_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of checking a model type.

    `verdict`: `right` (every tensor is bit-identical and has a program), `partly` (bit-identical,
    but some tensors have no program), `wrong`, `refused` (with a reason), `no model` (a config that
    is only a part of others), `not tried` (too large, or the model's own code fails).
    """

    model_type: str
    verdict: str
    detail: str = ""
    model: str = ""
    tensors: int = 0
    programs: Counter[str] = field(default_factory=Counter)


def check(model_type: str) -> Outcome:
    """Return the outcome for the smallest config of `model_type` that its own code accepts."""
    first: Outcome | None = None
    for config in configs(model_type):
        outcome = _checked(model_type, config)
        if outcome.verdict != "not tried":
            return outcome
        first = first or outcome
    assert first is not None
    return first


def tried(model_type: str) -> Outcome:
    """Run `check` in a worker process and turn any exception of a model into an outcome."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    try:
        return check(model_type)
    except Exception as error:  # noqa: BLE001 - one model must not end the run
        return Outcome(model_type, "not tried", f"{type(error).__name__}: {error}")


def _checked(model_type: str, config: dict[str, Any]) -> Outcome:
    try:
        recipe = Transformers(type="transformers", config=config).recipe(
            "architecture", dtype=None, max_modules=100_000
        )
    except SpecError as error:
        message = str(error)
        if "it is only a part of other models" in message:
            return Outcome(model_type, "no model", message)
        named = re.search(r"has no base model; name its class; known: (\w+)", message)
        if named and "architectures" not in config:
            return _checked(model_type, config | {"architectures": [named[1]]})
        return Outcome(model_type, "not tried", message)
    assert isinstance(recipe, TransformersRecipe)
    name = recipe.model.__name__
    try:
        tape = record(partial(recipe.make, recipe.wide))
    except RecordingError as error:
        return Outcome(model_type, "refused", str(error), name)
    except SpecError as error:
        return Outcome(model_type, "not tried", str(error), name)
    elements = sum(torch.Size(tensor.shape).numel() for tensor in tape.tensors)
    if elements > MAX_ELEMENTS:
        return Outcome(model_type, "not tried", f"{elements:,} elements", name, len(tape.tensors))
    return compared(model_type, name, tape, recipe)


def compared(model_type: str, name: str, tape: Tape, recipe: Any) -> Outcome:
    torch.manual_seed(SEED)
    real = recipe.make(recipe.wide).state_dict()
    replayed = tape.replay(SEED)
    tensors, programs = len(tape.tensors), Counter[str]()
    for tensor in tape.tensors:
        programs[_kind(tensor)] += 1
    differing = [key for key in {**real, **replayed} if not _same(real.get(key), replayed.get(key))]
    missing = {tensor.name: tensor.reason for tensor in tape.tensors if tensor.program is None}
    if differing:
        return Outcome(model_type, "wrong", ", ".join(differing[:4]), name, tensors, programs)
    if missing:
        first = next(iter(missing))
        detail = f"{len(missing)} without a program: {first}: {missing[first]}"
        return Outcome(model_type, "partly", detail, name, tensors, programs)
    return Outcome(model_type, "right", "", name, tensors, programs)


def _kind(tensor: Any) -> str:
    if tensor.program is None:
        return "none"
    return " ".join(
        [tensor.program.source.type, *(step.type for step in tensor.program.transforms)][:6]
    )


def _same(left: Any, right: Any) -> bool:
    if not isinstance(left, torch.Tensor):
        return left is right or right is None
    if right is None or left.shape != right.shape or left.dtype != right.dtype:
        return False
    return torch.equal(_bytes(left), _bytes(right))


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)
