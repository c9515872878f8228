"""Opened files of a checkpoint: the first header states the plan, and all headers match it.

Another process may write to a file meanwhile, so data that was read once may change.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seedpoint.models.files.layout import File, Layout
from seedpoint.models.files.shards import INDEX_FILE, SINGLE_FILE
from seedpoint.models.generation.evaluator import ByteArray
from seedpoint.models.plan.plan import Plan
from seedpoint.models.verify.comparison import header_difference, long_difference
from seedpoint.models.verify.header import LENGTH_BYTES, FileFault, head_bytes, parse
from seedpoint.models.verify.stated_plan import LONG_BYTES, NoPlan, metadata_of, stated

_SHARD = re.compile(r"(.*-)[0-9]{5}(-of-[0-9]{5}\.safetensors)", re.DOTALL)
_INDEX_SUFFIX = ".safetensors.index.json"


class OpenFile:
    """Regular file that many threads can read at any offset."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises OSError, and FileFault for a pipe, a device or a socket."""
        self.path = path
        # Without O_NONBLOCK, opening a pipe would wait for a writer.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            raise FileFault(f"{path}: not a regular file")
        self.size_bytes = status.st_size
        self._modified_ns = status.st_mtime_ns

    def read(self, offset: int, out: ByteArray) -> None:
        """Read bytes [offset, offset + len(out)) into `out`. Raises FileFault if the file ends."""
        done = 0
        while done < len(out):
            count = os.preadv(self._descriptor, [out.data[done:]], offset + done)
            if not count:
                raise FileFault(f"{self.path}: ended at byte {offset + done} while it was read")
            done += count

    def head(self) -> bytes:
        """Return the header, including its length field. Raises FileFault."""
        with self.named():
            size = head_bytes(self._start(min(LENGTH_BYTES, self.size_bytes)), self.size_bytes)
        return self._start(size)

    def is_exactly(self, content: bytes) -> bool:
        """Return whether `content` is the whole file."""
        return self.size_bytes == len(content) and self._start(self.size_bytes) == content

    @property
    def status(self) -> tuple[int, int]:
        """Size and time of the last change when the file was opened."""
        return self.size_bytes, self._modified_ns

    def check_unchanged(self) -> None:
        """Raise FileFault if the file changed since it was opened."""
        status = os.fstat(self._descriptor)
        if (status.st_size, status.st_mtime_ns) != (self.size_bytes, self._modified_ns):
            raise FileFault(f"{self.path}: changed while it was read")

    @contextmanager
    def named(self) -> Iterator[None]:
        """Prefix every FileFault inside the block with the file's path."""
        try:
            yield
        except FileFault as error:
            raise type(error)(f"{self.path}: {error}") from None

    def _start(self, size: int) -> bytes:
        out = np.empty(size, np.uint8)
        self.read(0, out)
        return out.tobytes()

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class Opened:
    """Plan, its safetensors files, and these files opened, in the same order."""

    plan: Plan
    files: tuple[File, ...]
    sources: tuple[OpenFile, ...]


def open_checkpoint(path: Path, stack: ExitStack) -> Opened:
    """Open the checkpoint at `path`: a file, the first shard, the index or the directory.

    The files close with `stack`. Raises: OSError; FileFault if a file is not safetensors, if its
    header or size differs from the plan in the first header, or if a text file beside it differs
    from the plan's or is missing from a directory.
    """
    first = stack.enter_context(OpenFile(locate(path)))
    head = first.head()
    with first.named():
        try:
            plan, layout = stated(metadata_of(head, first.size_bytes))
        except NoPlan as error:
            raise FileFault(f"{error}: the plan is in {first_shard(first.path)}") from None
    files = layout.shards
    _check_header(files[0], first)
    sources = [first]
    for file in files[1:]:
        sources.append(stack.enter_context(OpenFile(first.path.with_name(file.name))))
        _check_header(file, sources[-1])
    _check_beside(path, first.path, plan, layout)
    return Opened(plan, files, tuple(sources))


def _check_beside(path: Path, first: Path, plan: Plan, layout: Layout) -> None:
    """Raise FileFault unless the files without tensors beside `first` match the plan.

    If `path` is a directory, it must have all of them.
    """
    missing = []
    for name, said in _beside(path, layout).items():
        try:
            with OpenFile(first.with_name(name)) as source:
                if not source.is_exactly(said.head):
                    what = "index" if name == INDEX_FILE else name
                    raise FileFault(f"{source.path}: not the {what} of checkpoint {plan.id}")
        except FileNotFoundError:
            missing.append(name)
    if missing and path.is_dir():
        raise FileFault(f"{path}: lacks {' and '.join(missing)} of checkpoint {plan.id}")


def _beside(path: Path, layout: Layout) -> dict[str, File]:
    """Return the files without tensors that are checked.

    These are the index and, if `path` is a directory, the text files (`config.json`). Beside a
    single file, which may have been moved, text files may belong to anything.
    """
    shards = {file.name for file in layout.shards}
    names = layout.files.keys() - shards if path.is_dir() else layout.files.keys() & {INDEX_FILE}
    return {name: layout.files[name] for name in sorted(names)}


def locate(path: Path) -> Path:
    """Return the file whose header has the plan of the checkpoint at `path`."""
    if path.is_dir():
        return _only(path, [SINGLE_FILE, "model-00001-of-*.safetensors"])
    if path.name.endswith(_INDEX_SUFFIX):
        return _only(path.parent, ["model-00001-of-*.safetensors"])
    return path


def _only(folder: Path, patterns: list[str]) -> Path:
    found = sorted(path for pattern in patterns for path in folder.glob(pattern))
    if not found:
        raise FileNotFoundError(errno.ENOENT, f"has no {' or '.join(patterns)}", str(folder))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise FileFault(f"{folder}: has several checkpoints; name one of {names}")
    return found[0]


def first_shard(path: Path) -> str:
    """Return the name of the first shard in the series of `path`."""
    match = _SHARD.fullmatch(path.name)
    return "the first shard" if match is None else f"{match[1]}00001{match[2]}"


def _check_header(file: File, source: OpenFile) -> None:
    """Raise FileFault unless `source` has the size and the header of `file`."""
    head = source.head()
    if head == file.head and source.size_bytes == file.size_bytes:
        return
    with source.named():
        if len(head) > LONG_BYTES and head != file.head:
            raise FileFault(long_difference(file.head, head))
        found = parse(head, source.size_bytes)
        raise FileFault(header_difference(parse(file.head, file.size_bytes), found))
