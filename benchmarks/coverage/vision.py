"""Coverage of vision models: `python -m benchmarks.coverage.vision [timm | torchvision]`.

It checks one model of every timm family (a module of its sources), and every torchvision model.
Each library has its section of docs/models.md. It exits with 1 if a recording is wrong.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version

import torch

from benchmarks.coverage.check import Outcome, compared
from benchmarks.coverage.report import counts, write
from seedpoint.models.architectures.optional_libraries import require
from seedpoint.models.architectures.vision import Timm, Torchvision
from seedpoint.models.errors import SpecError
from seedpoint.models.tape import RecordingError, record

MAX_ELEMENTS = 700_000_000  # Twice 2.8 GB: the real tensors and the replayed ones.


def check(architecture: Timm | Torchvision, label: str) -> Outcome:
    """Compare the replayed recording of one model with its real construction."""
    model = architecture.model
    try:
        recipe = architecture.recipe("architecture", dtype=None, max_modules=100_000)
        tape = record(partial(recipe.make, recipe.wide))
    except RecordingError as error:
        return Outcome(label, "refused", str(error), model)
    except SpecError as error:
        return Outcome(label, "not tried", str(error), model)
    elements = sum(torch.Size(tensor.shape).numel() for tensor in tape.tensors)
    if elements > MAX_ELEMENTS:
        return Outcome(label, "not tried", f"{elements:,} elements", model, len(tape.tensors))
    return compared(label, model, tape, recipe)


def families() -> Iterator[tuple[str, list[str]]]:
    """Yield each timm family and its models, the shortest name (the plainest model) first."""
    import timm

    for module in timm.list_modules():
        yield module, sorted(timm.list_models(module=module), key=lambda name: (len(name), name))


def check_family(module: str, models: list[str]) -> Outcome:
    """Return the outcome for the first model of a family that can be tried."""
    outcome = Outcome(module, "not tried", "it has no models")
    for model in models:
        outcome = check(Timm(type="timm", model=model), f"{module} ({model})")
        if outcome.verdict != "not tried":
            break
    return outcome


def outcomes(library: str) -> Iterator[Outcome]:
    """Yield the outcome of every timm family or every torchvision model."""
    require(library, "architecture")
    if library == "timm":
        yield from (check_family(*family) for family in families())
        return
    from torchvision.models import list_models

    for model in list_models():
        yield check(Torchvision(type="torchvision", model=model), model)


def main(libraries: list[str]) -> int:
    warnings.simplefilter("ignore")
    wrong = 0
    for library in libraries or ["timm", "torchvision"]:
        found = []
        for outcome in outcomes(library):
            found.append(outcome)
            if outcome.verdict != "right":
                print(f"{outcome.model_type}: {outcome.verdict} {outcome.detail}", flush=True)
        tally = counts(found)
        print(library, ", ".join(f"{count} {verdict}" for verdict, count in tally.most_common()))
        write(library, f"{library} {version(library)}", found)
        wrong += tally["wrong"]
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
