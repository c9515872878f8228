"""Places in the file system that a model's code may use."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from typing_extensions import Self

_METADATA = (".dist-info", ".egg-info")
_MODULES = (".py", ".so", ".pth")
# Facts of the machine that libraries read; none is secret or depends on a spec.
_SYSTEM_FILES = (
    *("/dev/null", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/proc/self/maps"),
    *("/proc/self/stat", "/proc/self/statm", "/proc/self/status"),
)
_SYSTEM_FOLDERS = ("/sys/devices/system/cpu", "/sys/devices/system/node", "/usr/share/zoneinfo")


@dataclass(frozen=True, slots=True)
class Places:
    """Absolute paths that may be read, and the folder that may be written.

    `folders` may be read with their contents, `files` singly; `entries` (of `sys.path`) may be
    listed. Folders end in a separator.
    """

    folders: tuple[str, ...]
    files: frozenset[str]
    entries: frozenset[str]
    writable: str

    @classmethod
    def of_process(cls, writable: str) -> Self:
        """Return the places of this process's libraries, and `writable`, a folder of its own."""
        entries = frozenset(map(os.path.abspath, sys.path))
        installed = {*sysconfig.get_paths().values(), *site.getsitepackages()}
        installed.add(site.getusersitepackages())
        installed -= {sysconfig.get_path("scripts"), sysconfig.get_path("data")}
        found = [path for entry in entries - installed for path in _packages(entry)]
        folders = {*installed, *_SYSTEM_FOLDERS, *_imported(), *filter(os.path.isdir, found)}
        spelled = {name for path in folders for name in _names(path)}
        script = getattr(sys.modules["__main__"], "__file__", None)  # shown in stack traces
        found += [os.path.abspath(script)] if script else []
        files = {name for path in found for name in _names(path)}
        return cls(
            folders=tuple(os.path.join(name, "") for name in sorted(spelled)),
            files=frozenset({*files, *_SYSTEM_FILES}),
            entries=entries,
            writable=os.path.join(os.path.realpath(writable), ""),
        )

    def may_read(self, path: str) -> bool:
        """Return whether the file or folder at the absolute `path` may be opened and listed."""
        return self._is_library(path) or self._is_own(path) or self._is_library(_real(path))

    def may_write(self, path: str) -> bool:
        """Return whether `path` may be made, changed or removed."""
        return path in {"/dev/null", "/dev/zero"} or self._is_own(path)

    def may_see(self, path: str) -> bool:
        """Return whether code may learn if something exists at `path`."""
        above = os.path.join(path, "")
        return self.may_read(path) or any(
            folder.startswith(above) for folder in (*self.folders, self.writable)
        )

    def _is_library(self, path: str) -> bool:
        whole = os.path.join(path, "")
        return whole.startswith(self.folders) or path in self.files or path in self.entries

    def _is_own(self, path: str) -> bool:
        return os.path.join(_real(path), "").startswith(self.writable)


def _real(path: str) -> str:
    return os.path.realpath(path)


def _names(path: str) -> Iterable[str]:
    """Return `path` as it is spelled, and with links followed."""
    return os.path.abspath(path), os.path.realpath(path)


def _packages(entry: str) -> Iterator[str]:
    """Yield the importable entries of a folder of `sys.path`, which may hold other files too."""
    try:
        inside = list(os.scandir(entry))
    except OSError:
        return
    for found in inside:
        is_package = os.path.isfile(os.path.join(found.path, "__init__.py"))
        if is_package or found.name.endswith((*_METADATA, *_MODULES)):
            yield found.path


def _imported() -> Iterator[str]:
    """Yield the folders of imported top-level packages, including those that a finder provides."""
    for name, module in list(sys.modules.items()):
        if "." not in name:
            yield from list(getattr(module, "__path__", ()))
