"""Sandbox of a process that runs constructors of other libraries.

Constructors may read their libraries and use one temporary folder. Python's audit hook (PEP 578)
sees every file opened, process started and connection made, by any module at any time. It does
not see files that C++ or Rust code opens itself; `models.architectures.pretrained_weights`
replaces those readers.
"""

from __future__ import annotations

import errno
import functools
import importlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any
from unittest import mock

from seedpoint.models.errors import SpecError
from seedpoint.service.planning.allowed_paths import Places
from seedpoint.service.planning.fault_location import blamed

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_READ: Mapping[str, str] = {
    **dict.fromkeys(("os.listdir", "os.scandir"), "list"),
    **dict.fromkeys(("os.getxattr", "os.listxattr"), "read"),
    "ctypes.dlopen": "load",
}
# By event: the action, the positions of paths, and those of their start folders (-1: none).
_CHANGED: Mapping[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "os.mkdir": ("make", (0,), (2,)),
    "os.remove": ("remove", (0,), (1,)),
    "os.rmdir": ("remove", (0,), (1,)),
    "os.rename": ("rename", (0, 1), (2, 3)),
    "os.truncate": ("cut", (0,), (-1,)),
    "os.chmod": ("change", (0,), (2,)),
    "os.chown": ("change", (0,), (3,)),
    "os.chflags": ("change", (0,), (-1,)),
    "os.utime": ("change", (0,), (3,)),
    "os.setxattr": ("change", (0,), (-1,)),
    "os.removexattr": ("change", (0,), (-1,)),
    "sqlite3.connect": ("open", (0,), (-1,)),
}
# By event: an action forbidden to constructors, and the position of its target (-1: none).
# A link could lead out of the temporary folder.
_NEVER: Mapping[str, tuple[str, int]] = {
    **dict.fromkeys(("os.link", "os.symlink"), ("link", 1)),
    **dict.fromkeys(("os.system", "os.exec", "os.posix_spawn", "pty.spawn"), ("run", 0)),
    **dict.fromkeys(("os.spawn", "subprocess.Popen"), ("run", 1)),
    **dict.fromkeys(("os.fork", "os.forkpty"), ("fork", -1)),
    **dict.fromkeys(("os.kill", "os.killpg"), ("signal", 0)),
    **dict.fromkeys(("socket.connect", "socket.sendto", "socket.sendmsg"), ("connect to", 1)),
    **dict.fromkeys(("socket.getaddrinfo", "socket.getnameinfo"), ("look up", 0)),
    **dict.fromkeys(("socket.gethostbyname", "socket.gethostbyaddr"), ("look up", 0)),
    "socket.bind": ("listen at", 1),
    "os.chdir": ("go to", 0),
}
_IMPORTING = importlib._bootstrap._find_and_load.__code__  # type: ignore[attr-defined]
_LOOKS = ("stat", "lstat", "readlink")
_REASON = "a constructor may only read its own libraries"


@dataclass(frozen=True, slots=True)
class Tried:
    """A refused action: its verb (`open`), its target, and whether it only reads."""

    verb: str
    target: str
    reads: bool = False


class RefusedError(PermissionError):
    """Error raised in a model's code that attempts a forbidden action."""


class Guard:
    """Guard of a process. It keeps the first refusal until that is asked for.

    A library may swallow the error and go on: then its result is not a function of the spec.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._lifted = threading.local()
        self._exempt: frozenset[int | None] = frozenset()  # threads, by identifier
        self._first: Tried | None = None

    def enforce(self) -> None:
        """Refuse forbidden actions from now on, in all threads of this process."""
        for name, look in _looks(self).items():
            setattr(os, name, look)
        sys.dont_write_bytecode = True  # It would go beside the libraries.
        _enforce(self)

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Refuse forbidden actions inside the block, in this thread and those it starts."""
        others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
        self._exempt = frozenset(others)
        no_bytecode = mock.patch.object(sys, "dont_write_bytecode", new=True)
        with no_bytecode, mock.patch.multiple(os, **_looks(self)):
            _enforce(self)
            try:
                yield
            finally:
                _enforce(None)

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Let this thread do anything inside the block, which runs our own code."""
        before = self.is_lifted
        self._lifted.now = True
        try:
            yield
        finally:
            self._lifted.now = before

    @property
    def is_lifted(self) -> bool:
        return getattr(self._lifted, "now", False) or threading.get_ident() in self._exempt

    @contextmanager
    def refusing(self, document: Any) -> Iterator[None]:
        """Raise SpecError after the block if an action was refused, even if its error was caught.

        `document` is the spec that the block builds.
        """
        self._first = None
        try:
            yield
        except Exception as error:
            if self._first is not None:
                raise _problem(self._first, document, error) from None
            raise
        if self._first is not None:
            raise _problem(self._first, document, None)

    def check(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raise RefusedError for a forbidden action; the call itself reports bad arguments."""
        if self.is_lifted:
            return
        with self.lifted():
            try:
                tried = _tried(self._places, event, arguments)
            except (TypeError, ValueError):  # Not a path: the call itself will fail.
                return
        if tried is None:
            return
        # A module is imported once in a process, so its reads depend on no spec.
        if not _is_importing():
            self._first = self._first or tried
        elif tried.reads:
            return
        raise RefusedError(errno.EACCES, f"a spec may not make it {tried.verb}", tried.target)

    def may_see(self, path: Any) -> bool:
        """Return whether code may learn if something exists at `path`."""
        if self.is_lifted:
            return True
        with self.lifted():
            try:
                return self._places.may_see(_absolute(path)) or _is_importing()
            except (TypeError, ValueError):
                return True


@contextmanager
def guarded(document: Any) -> Iterator[None]:
    """Guard this process inside the block, which builds the spec `document`.

    Raises: SpecError if an action was refused.
    """
    with tempfile.TemporaryDirectory(prefix="seedpoint-") as folder:
        guard = Guard(Places.of_process(folder))
        own = mock.patch.object(tempfile, "tempdir", new=folder)
        with own, guard.refusing(document), guard.enforced():
            yield


def _tried(places: Places, event: str, arguments: tuple[Any, ...]) -> Tried | None:
    """Return the action of an audit event if it is forbidden; else None."""
    if event == "open":
        path, _, flags = arguments
        return _opened(places, path, writing=bool(flags & _WRITING))
    if event in _READ:
        return _read(places, event, arguments[0])
    if event in _CHANGED:
        verb, paths, starts = _CHANGED[event]
        for position, start in zip(paths, starts, strict=True):
            path = _absolute(arguments[position], arguments[start] if start >= 0 else -1)
            if not places.may_write(path):
                return Tried(verb, path)
        return None
    verb, position = _NEVER[event]
    return Tried(verb, "" if position < 0 else _shown(arguments[position]))


def _opened(places: Places, path: Any, *, writing: bool) -> Tried | None:
    if isinstance(path, int):  # A descriptor: already open.
        return None
    path = _absolute(path)
    if writing:
        return None if places.may_write(path) else Tried("write", path)
    return None if places.may_read(path) else Tried("open", path, reads=True)


def _read(places: Places, event: str, path: Any) -> Tried | None:
    if isinstance(path, int):  # A descriptor: already open.
        return None
    if event == "ctypes.dlopen" and (path is None or os.sep not in os.fsdecode(path)):
        return None  # The process itself, or a library of the system.
    path = _absolute(path or ".")
    return None if places.may_read(path) else Tried(_READ[event], path, reads=True)


def _absolute(path: Any, start: int = -1) -> str:
    """Return `path` as absolute; `start` is the descriptor of its start folder (-1: none)."""
    name = os.fsdecode(path)
    if start >= 0:
        with suppress(OSError):
            name = os.path.join(os.readlink(f"/proc/self/fd/{start}"), name)
    return os.path.abspath(name)


def _shown(target: Any) -> str:
    if isinstance(target, tuple):  # An address: host, port and more.
        return ":".join(str(part) for part in target[:2])
    if isinstance(target, list):
        return " ".join(_shown(part) for part in target)
    return os.fsdecode(target) if isinstance(target, bytes) else str(target)


def _problem(tried: Tried, document: Any, error: Exception | None) -> SpecError:
    default = error.faults[0].path if isinstance(error, SpecError) else "architecture"
    path, shown = blamed(document, tried.target, default)
    what = f"{tried.verb} {shown!r}" if shown else tried.verb
    return SpecError.at(path, f"building it would {what}: {_REASON}")


def _is_importing() -> bool:
    """Return whether the running code belongs to the import of a module."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not _IMPORTING:
        frame = frame.f_back
    return frame is not None


# --- the hook ------------------------------------------------------------------------

_CHECKED = frozenset({"open", *_READ, *_CHANGED, *_NEVER})
_enforced: Guard | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _CHECKED and _enforced is not None:
        _enforced.check(event, arguments)


@functools.cache
def _add_hook() -> None:
    """Add the hook, which cannot be removed from a process again."""
    sys.addaudithook(_hook)


def _enforce(guard: Guard | None) -> None:
    global _enforced  # noqa: PLW0603 - there is one hook in a process
    _add_hook()
    _enforced = guard


# --- existence of files ----------------------------------------------------------------


def _looks(guard: Guard) -> dict[str, Any]:
    """Return functions of `os` that see no files outside; these functions raise no audit event."""
    by_name = {name: _seeing(guard, getattr(os, name), _absent) for name in _LOOKS}
    return by_name | {"access": _seeing(guard, os.access, lambda _: False)}


def _seeing(
    guard: Guard, original: Callable[..., Any], absent: Callable[[Any], Any]
) -> Callable[..., Any]:
    @functools.wraps(original)
    def look(path: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(path, int) or kwargs.get("dir_fd") is not None or guard.may_see(path):
            return original(path, *args, **kwargs)
        return absent(path)

    return look


def _absent(path: Any) -> Any:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))
