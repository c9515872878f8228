"""Leak test with canaries in every string field of every model.

python -m benchmarks.coverage.canaries [NAME ...], where a name is a model type of transformers,
`timm` or `torchvision`; the default is all. Each field is set to the path of a directory or the
name of a Hub repository, which exists in the first run and is missing in the second. Nothing may
reveal the difference: no plan, no message and no connection to the Hub, which a listener replaces.
Fields common to all configs are tried in one type only. It exits with 1 if something leaks.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import os
import re
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

WORD = "SECRET-CANARY"
NAME = "evil"
BASE = "llama"  # The model type in which the fields common to all configs are tried.
VISION = {"timm": "timm.models._builder", "torchvision": "torchvision.models"}
CONFIG = {
    "architecture": "resnet10t",
    "num_classes": 7,
    "pretrained_cfg": {"num_classes": 7, "first_conv": "conv1", "classifier": "fc", "tag": WORD},
}
Architecture = dict[str, Any]


@dataclass
class Cage:
    """Directory and Hub cache with canaries, and a listener that replaces the Hub."""

    folder: Path
    connections: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        model = self.folder / NAME
        cached = self.folder / f"hf/hub/models--{NAME}--repo"
        snapshot = cached / "snapshots" / ("a" * 40)
        for directory in (model, snapshot, cached / "refs"):
            directory.mkdir(parents=True)
        (cached / "refs/main").write_text("a" * 40)
        for directory in (model, snapshot):
            (directory / "config.json").write_text(json.dumps(CONFIG))
            (directory / "model.safetensors").write_bytes(WORD.encode())
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def environment(self) -> dict[str, str]:
        """Return the environment variables to set before the libraries are imported."""
        port = self._listener.getsockname()[1]
        return {"HF_HOME": str(self.folder / "hf"), "HF_ENDPOINT": f"http://127.0.0.1:{port}"}

    def texts(self) -> list[str]:
        """Return texts that name the model's directory or the repository in the cache."""
        paths = [f"local-dir:{self.folder}/{NAME}", f"{self.folder}/{NAME}"]
        return [paths[0], f"{NAME}/repo", paths[1], f"hf-hub:{NAME}/repo"]

    @contextmanager
    def emptied(self, guard: Any) -> Iterator[None]:
        """Remove the model and the repository for the duration of the block."""
        held = [self.folder / NAME, self.folder / f"hf/hub/models--{NAME}--repo"]
        with guard.lifted():
            for path in held:
                path.rename(path.with_name(path.name + ".away"))
        yield
        with guard.lifted():
            for path in held:
                path.with_name(path.name + ".away").rename(path)

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            self.connections.append(connection.recv(200))
            connection.close()


def main(names: list[str], texts: int = 4) -> int:
    with tempfile.TemporaryDirectory() as folder:
        cage = Cage(Path(folder))
        os.environ.update(cage.environment())
        start, told, tally = time.monotonic(), 0, Counter[str]()
        for place, outcome, leak in outcomes(cage, names, texts):
            tally[outcome] += 1
            if leak:
                told += 1
                print(f"{place}: {leak}", flush=True)
        seconds = time.monotonic() - start
        summary = ", ".join(f"{count} {outcome}" for outcome, count in tally.most_common())
        print(f"{tally.total()} specs in {seconds:.0f} s: {summary or 'none'}; ", end="")
        print(f"{told} told, {len(cage.connections)} connections")
        return int(bool(told or cage.connections or not tally))


def outcomes(cage: Cage, names: list[str], texts: int) -> Iterator[tuple[str, str, str]]:
    """Yield each field with its text, its outcome and its leak, if any."""
    from seedpoint.service.planning.allowed_paths import Places
    from seedpoint.service.planning.sandbox import Guard

    architectures = list(subjects(names))
    own = cage.folder / "tmp"
    own.mkdir()
    guard = Guard(Places.of_process(str(own)))
    tempfile.tempdir = str(own)
    with guard.enforced():
        for label, architecture, place in architectures:
            for text in cage.texts()[:texts]:
                before = len(cage.connections)
                document = put(architecture, place, text)
                there = planned(guard, document)
                with cage.emptied(guard):
                    gone = planned(guard, document)
                leak = ""
                if WORD in there:
                    leak = f"a word of the file: {there}"
                elif there != gone:
                    leak = f"{there!r} is not {gone!r}"
                elif len(cage.connections) > before:
                    leak = f"connected: {cage.connections[-1]!r}"
                elif there.startswith("failed"):
                    leak = there
                yield f"{label} {'.'.join(map(str, place))} {text}", there.partition(":")[0], leak


def planned(guard: Any, architecture: Architecture) -> str:
    """Return the outcome of a spec: its plan's tensors and files, or its faults."""
    from seedpoint.models.errors import SpecError
    from seedpoint.models.planning.compiler import make_plan
    from seedpoint.models.spec.schema import parse_spec

    document = {"architecture": architecture}
    try:
        with guard.refusing(document):
            plan = make_plan(parse_spec(document)).plan
    except SpecError as error:
        kind = (
            "stopped by the guard" if "may only read its own libraries" in str(error) else "refused"
        )
        return f"{kind}: {re.sub('0x[0-9a-f]+', '0x', str(error))}"
    except Exception as error:  # noqa: BLE001 - a finding, not the end
        return f"failed: {type(error).__name__}: {error}"
    return f"planned: {[(t.name, t.shape) for t in plan.tensors]} {dict(plan.files)}"


def subjects(names: list[str]) -> Iterator[tuple[str, Architecture, tuple[str, ...]]]:
    """Yield the models with each field to try: of configs, nested configs and arguments."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from seedpoint.models.architectures.optional_libraries import is_installed, require

    require("transformers", "architecture")
    for name in names or [*sorted(CONFIG_MAPPING), *filter(is_installed, VISION)]:
        if name in VISION:
            require(name, "architecture")
            yield from _vision(name)
            continue
        config = _config(name)
        for place in _fields(CONFIG_MAPPING[name], config, base=name == BASE):
            yield name, {"type": "transformers", "config": config}, ("config", *place)


def _config(name: str) -> dict[str, Any]:
    """Return the smallest config of a model type that can be planned, else the smallest one."""
    from benchmarks.coverage.shrink import configs
    from seedpoint.models.errors import SpecError
    from seedpoint.models.planning.compiler import make_plan
    from seedpoint.models.spec.schema import parse_spec

    few = list(islice(configs(name), 3))
    for config in few:
        for more in ({}, {"architectures": [named]} if (named := _class(config)) else {}):
            architecture = {"type": "transformers", "config": config | more}
            try:
                make_plan(parse_spec({"architecture": architecture}))
            except SpecError:
                continue
            return config | more
    return few[0]


def _class(config: dict[str, Any]) -> str | None:
    """Return a class for a config whose model type has no base model, or None."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from seedpoint.models.architectures.huggingface.classes import names_for

    try:
        return next(iter(names_for(CONFIG_MAPPING[config["model_type"]]())), None)
    except Exception:  # noqa: BLE001 - a config that needs arguments
        return None


def put(architecture: Architecture, place: tuple[str, ...], text: str) -> Architecture:
    """Return a copy of the architecture with `text` at `place`."""
    document = copy.deepcopy(architecture)
    *above, last = place
    inside = document
    for key in above:
        inside = inside.setdefault(key, {})
    inside[last] = text
    return document


def _fields(cls: Any, config: Any, *, base: bool, depth: int = 3) -> Iterator[tuple[str, ...]]:
    """Yield the fields that may hold text; fields common to all configs only if `base`."""
    from transformers.configuration_utils import PreTrainedConfig

    from seedpoint.models.architectures.huggingface.fields import fields_of, sub_class

    typed = {each.name: str(each.type) for each in dataclasses.fields(cls)}
    common = () if base else {*fields_of(PreTrainedConfig)} - {"architectures"}
    for name in fields_of(cls):
        inner = sub_class(cls, name, config.get(name, {}))
        if inner is not None and depth:
            for place in _fields(inner, config.get(name, {}), base=base, depth=depth - 1):
                yield name, *place
        elif name not in common and re.search("str|Any|dict|Dict", typed.get(name, "Any")):
            yield (name,)
            if name in {"model_args", "backbone_kwargs"}:
                yield from ((name, argument) for argument in _timm_arguments())


def _timm_arguments() -> list[str]:
    from seedpoint.models.architectures.forbidden_arguments import TIMM

    return [*TIMM, "act_layer", "norm_layer", "block", "feature_cls", "global_pool", "file", "url"]


def _vision(library: str) -> Iterator[tuple[str, Architecture, tuple[str, ...]]]:
    """Yield the name and each argument of a model of each family as fields to try."""
    for model, arguments in _timm() if library == "timm" else _torchvision():
        architecture = {"type": library, "model": model}
        yield model, architecture, ("model",)
        for name in arguments:
            yield model, architecture, ("args", name)


def _timm() -> Iterator[tuple[str, list[str]]]:
    import timm
    from timm.models import _builder, _factory

    made_by = [_factory.create_model, _builder.build_model_with_cfg]
    for module in timm.list_modules():
        models = sorted(timm.list_models(module=module), key=lambda name: (len(name), name))
        if models:
            source = inspect.getmodule(timm.model_entrypoint(models[0]))
            assert source is not None
            classes = [cls for _, cls in inspect.getmembers(source, inspect.isclass)]
            yield (
                models[0],
                _parameters(*made_by, *(c for c in classes if c.__module__ == source.__name__)),
            )


def _torchvision() -> Iterator[tuple[str, list[str]]]:
    from torchvision.models import get_model_builder, list_models

    for model in list_models():
        builder = get_model_builder(model)
        classes = [
            cls for _, cls in inspect.getmembers(inspect.getmodule(builder), inspect.isclass)
        ]
        yield model, _parameters(builder, *(c for c in classes if hasattr(c, "forward")))


def _parameters(*takers: Any) -> list[str]:
    found: dict[str, None] = {}
    for taker in takers:
        try:
            found |= dict.fromkeys(inspect.signature(taker).parameters)
        except (TypeError, ValueError):
            continue
    return [
        name for name in found if name not in {"self", "args", "kwargs", "model_name", "variant"}
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
