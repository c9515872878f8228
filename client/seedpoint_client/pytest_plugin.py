"""Plugin of pytest: the fixture `seed_checkpoint`, initialized checkpoints for tests."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    import torch

    from seedpoint_client import Client
    from seedpoint_client.types import Spec

OWN_METADATA = ("format", "seedpoint.")  # Beginnings of a header's entries that are no alias.


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("seedpoint", "initialized checkpoints (seedpoint-client)")
    group.addoption(
        "--seedpoint-url",
        metavar="URL",
        help="service that issues the checkpoints of seed_checkpoint (or ini seedpoint_url, or "
        "SEEDPOINT_URL); without one, the installed package seedpoint makes them",
    )
    group.addoption(
        "--seedpoint-cache",
        metavar="DIR",
        help="directory that keeps them by id (or ini seedpoint_cache, or SEEDPOINT_CACHE); by "
        "default one in pytest's cache",
    )
    parser.addini("seedpoint_url", "service that issues the checkpoints of seed_checkpoint")
    parser.addini("seedpoint_cache", "directory that keeps these checkpoints, from the rootdir")


@pytest.fixture(scope="session")
def seed_checkpoint(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SeedCheckpoints]:
    """Factory of initialized checkpoints: `seed_checkpoint(spec)` has a `path`, a `state_dict()`.

    The spec is a mapping, the name of a preset, or a JSON file. The same spec gives the same bytes
    everywhere, and files are made once: a cache keeps them by the checkpoint's id.
    """
    folder = _chosen(pytestconfig, "cache")
    if folder:
        cache = pytestconfig.rootpath / folder
    elif (kept := getattr(pytestconfig, "cache", None)) is not None:
        cache = kept.mkdir("seedpoint")
    else:
        cache = tmp_path_factory.mktemp("seedpoint")
    url = _chosen(pytestconfig, "url")
    if not url:
        yield SeedCheckpoints(Local(), cache, pytestconfig.rootpath)
        return
    from seedpoint_client import Client

    with Client(url) as client:
        yield SeedCheckpoints(Remote(client), cache, pytestconfig.rootpath)


@dataclass(frozen=True, slots=True)
class SeedCheckpoint:
    """Checkpoint in a directory, which tests share and must not write to."""

    id: str
    path: Path

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return all tensors by name, tied ones as one tensor under each name.

        Each call gives memory of its own. Needs torch and safetensors.
        """
        from safetensors import safe_open

        tensors: dict[str, torch.Tensor] = {}
        aliases: dict[str, str] = {}
        for file in sorted(self.path.glob("*.safetensors")):
            with safe_open(file, framework="pt") as opened:
                tensors |= {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118 - it has no other iterator
                aliases |= opened.metadata() or {}
        for alias, name in aliases.items():
            if name in tensors and not alias.startswith(OWN_METADATA):
                tensors[alias] = tensors[name]
        return tensors


class Issued(Protocol):
    """Checkpoint whose files can be written."""

    @property
    def id(self) -> str: ...

    def write(self, folder: Path) -> object:
        """Write all files into `folder`, which exists."""


class Issuer(Protocol):
    """Source of checkpoints: this process, or a service."""

    def issue(self, spec: Mapping[str, Any]) -> Issued:
        """Return the checkpoint of `spec`, of which no file is written yet."""


@dataclass(frozen=True, slots=True)
class Local:
    """Issuer that uses the installed package `seedpoint`."""

    package: str = "seedpoint"

    def issue(self, spec: Mapping[str, Any]) -> Issued:
        if find_spec(self.package) is None:
            pytest.fail(
                f"seed_checkpoint needs the package {self.package}, or a service that issues its "
                "checkpoints: --seedpoint-url, ini seedpoint_url or SEEDPOINT_URL",
                pytrace=False,
            )
        issued: Issued = import_module(self.package).Checkpoint.from_spec(spec)
        return issued


@dataclass(frozen=True, slots=True)
class Remote:
    """Issuer that asks a service."""

    client: Client

    def issue(self, spec: Mapping[str, Any]) -> Issued:
        return Downloaded(self.client, self.client.issue(spec).id)


@dataclass(frozen=True, slots=True)
class Downloaded:
    """Checkpoint of a service."""

    client: Client
    id: str

    def write(self, folder: Path) -> None:
        self.client.download(self.id, folder)


@dataclass(frozen=True)
class SeedCheckpoints:
    """Factory of checkpoints in the directories `cache`/ID; paths of specs begin at `root`."""

    issuer: Issuer
    cache: Path
    root: Path
    _known: dict[str, SeedCheckpoint] = field(default_factory=dict, repr=False)

    def __call__(
        self, spec: Spec | Mapping[str, Any] | str | os.PathLike[str], *, seed: int | None = None
    ) -> SeedCheckpoint:
        """Return the checkpoint of `spec`: a mapping, a preset's name, or the path of a JSON file.

        A text that ends in `.json` is a path. `seed` replaces the `init.seed` of the spec. Raises
        what the issuer raises for a spec with faults: `seedpoint.SpecError`, or `Problem`.
        """
        document = self._document(spec)
        if seed is not None:
            document["init"] = {**document.get("init", {}), "seed": seed}
        key = json.dumps(document)
        if key not in self._known:
            self._known[key] = self._kept(self.issuer.issue(document))
        return self._known[key]

    def _document(self, spec: Any) -> dict[str, Any]:
        if isinstance(spec, Mapping):
            return dict(spec)
        if isinstance(spec, str) and not spec.endswith(".json"):
            return {"architecture": {"type": "preset", "name": spec}}
        document: dict[str, Any] = json.loads((self.root / spec).read_text("utf-8"))
        return document

    def _kept(self, issued: Issued) -> SeedCheckpoint:
        """Return the checkpoint's directory, which appears whole or not at all."""
        path = self.cache / issued.id
        if not path.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=f".{issued.id[:12]}-", dir=self.cache))
            try:
                issued.write(folder)
                for file in folder.iterdir():
                    file.chmod(0o444)
                _rename(folder, path)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        return SeedCheckpoint(issued.id, path)


def _rename(folder: Path, path: Path) -> None:
    """Rename a directory, unless another process was quicker."""
    folder.chmod(0o755)  # mkdtemp makes it private.
    try:
        folder.rename(path)
    except OSError:
        if not path.is_dir():
            raise


def _chosen(config: pytest.Config, name: str) -> str:
    """Return a setting: of the command line, else the environment, else the ini file."""
    option: str | None = config.getoption(f"seedpoint_{name}")
    return (
        option or os.environ.get(f"SEEDPOINT_{name.upper()}") or config.getini(f"seedpoint_{name}")
    )
