"""Guard of a process that runs constructors of other libraries.

They may read their libraries and use one temporary folder. Python's audit hook (PEP 578) sees each
file that is opened, each process that is started and each connection, whoever imported what and
when; what code written in C++ or Rust opens by itself, it does not
(`models.architectures.pretrained_weights` replaces those readers).
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
# By event: what is done, which arguments are paths, and which are the folders they start from.
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
# What no constructor does. A link could lead out of the temporary folder.
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
_REASON = "a constructor may read its own libraries, and nothing else"


@dataclass(frozen=True, slots=True)
class Tried:
    """Something that was refused: what was done (`open`) to what, and if it only reads."""

    verb: str
    target: str
    reads: bool = False


class RefusedError(PermissionError):
    """Raised in the code of a model that tries what it may not."""


class Guard:
    """What a process may do. The first refusal is kept until it is asked for.

    A library may swallow the error and go on: then what it makes is not a function of the spec.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._lifted = threading.local()
        self._first: Tried | None = None

    def enforce(self) -> None:
        """Refuse, from now on, in all threads of this process."""
        for name, look in _looks(self).items():
            setattr(os, name, look)
        sys.dont_write_bytecode = True  # Beside libraries, where nothing may be written.
        _enforce(self)

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Refuse inside the block, in all threads of this process."""
        no_bytecode = mock.patch.object(sys, "dont_write_bytecode", new=True)
        with no_bytecode, mock.patch.multiple(os, **_looks(self)):
            _enforce(self)
            try:
                yield
            finally:
                _enforce(None)

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Let this thread do anything inside the block: code of our own."""
        before = self.is_lifted
        self._lifted.now = True
        try:
            yield
        finally:
            self._lifted.now = before

    @property
    def is_lifted(self) -> bool:
        return getattr(self._lifted, "now", False)

    @contextmanager
    def refusing(self, document: Any) -> Iterator[None]:
        """Raise SpecError at the end if something was refused, whatever became of the error.

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
        """Raise RefusedError for what is not allowed; errors are left to what is called."""
        if self.is_lifted:
            return
        with self.lifted():
            try:
                tried = _tried(self._places, event, arguments)
            except (TypeError, ValueError):  # No path: the call itself will say so.
                return
        if tried is None:
            return
        # No spec decides what a module reads while it is imported, once in a process.
        if not _is_importing():
            self._first = self._first or tried
        elif tried.reads:
            return
        raise RefusedError(errno.EACCES, f"a spec may not have it {tried.verb}", tried.target)

    def may_see(self, path: Any) -> bool:
        """Whether it may be told if there is something at `path`."""
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

    Raises SpecError.
    """
    with tempfile.TemporaryDirectory(prefix="seedpoint-") as folder:
        guard = Guard(Places.of_process(folder))
        own = mock.patch.object(tempfile, "tempdir", new=folder)
        with own, guard.refusing(document), guard.enforced():
            yield


def _tried(places: Places, event: str, arguments: tuple[Any, ...]) -> Tried | None:
    """What an audit event is, if it is not allowed."""
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
    if isinstance(path, int):  # It is open already.
        return None
    path = _absolute(path)
    if writing:
        return None if places.may_write(path) else Tried("write", path)
    return None if places.may_read(path) else Tried("open", path, reads=True)


def _read(places: Places, event: str, path: Any) -> Tried | None:
    if isinstance(path, int):  # It is open already.
        return None
    if event == "ctypes.dlopen" and (path is None or os.sep not in os.fsdecode(path)):
        return None  # The process itself, or a library of the system.
    path = _absolute(path or ".")
    return None if places.may_read(path) else Tried(_READ[event], path, reads=True)


def _absolute(path: Any, start: int = -1) -> str:
    """`path` from the root; `start` is the descriptor of the folder it starts from, if any."""
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
    """Whether the code that runs is a module's own, while it is imported."""
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
    """Add the hook, which no process can remove again."""
    sys.addaudithook(_hook)


def _enforce(guard: Guard | None) -> None:
    global _enforced  # noqa: PLW0603 - there is one hook in a process
    _add_hook()
    _enforced = guard


# --- whether a file is there ---------------------------------------------------------


def _looks(guard: Guard) -> dict[str, Any]:
    """Functions of `os` that see nothing outside: no audit event tells of them."""
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
