"""Interface of a storage backend: objects by kind and name, each whole or absent.

What the objects are, their checksums and their retention are written once, above this interface:
`checkpoint_store`, `whole_tensor_files`, `retention`. A backend is a directory (`directory`) or,
say, a bucket. tests/service/storage/contract.py has the tests that each backend must pass.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Final, Literal, NamedTuple, Protocol, get_args

Kind = Literal["plans", "about", "blobs", "materialized", "statistics", "digests", "whole_tensors"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
SUFFIXES: dict[Kind, str] = {
    "plans": ".json",
    "about": ".json",
    "blobs": "",
    "materialized": ".bin",
    "statistics": ".json",
    "digests": ".json",
    "whole_tensors": ".bin",
}
PROBE_BYTES = 8192  # Size of a test write: more than filesystems store inline with a name.

Version = Hashable
"""Value that changes whenever an object is written again."""
Write = Callable[[bytes | memoryview], None]
"""Function that appends to an object that is being written."""


class Entry(NamedTuple):
    """Listing of an object: its size as it occupies the storage, and its times (epoch, ns).

    A tuple, because a listing makes thousands of them.
    """

    kind: Kind
    name: str
    nbytes: int
    used_ns: int
    stored_ns: int = 0
    version: Version = None


class Damaged(Exception):
    """An object that is not what was written; the message states the fault."""


def key(kind: Kind, name: str) -> str:
    """Return the path or key of an object, also for messages: `plans/ab/ab34....json`."""
    return f"{kind}/{name[:2]}/{name}{SUFFIXES[kind]}"


class Store(Protocol):
    """Objects by kind and name, shared by threads and processes.

    A name is a SHA-256 in hexadecimal digits. A store can be pickled: worker processes get a
    copy. Every method raises OSError if the storage fails, with an `errno` that tells a full
    storage and a shortage of descriptors or memory from the rest.
    """

    def get(self, kind: Kind, name: str) -> bytes:
        """Return a whole object.

        Raises: FileNotFoundError; Damaged if something that is no object has its name.
        """

    def get_range(self, kind: Kind, name: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of an object, fewer if it ends before. Raises as `get`."""

    def map(self, kind: Kind, name: str) -> tuple[Version, memoryview]:
        """Return an object's version and content, memory-mapped if possible. Raises as `get`.

        The buffer is writable and private, and stays valid after the object's removal.
        """

    def stat(self, kind: Kind, name: str) -> Entry | None:
        """Return an object's entry; None if it is absent."""

    def entries(self, kind: Kind, prefix: str = "") -> Iterator[Entry]:
        """Yield every object of a kind whose name begins with `prefix`, in any order."""

    def writing(
        self, kind: Kind, name: str, *, create: bool = False, size_bytes: int = 0
    ) -> AbstractContextManager[Write]:
        """Write an object that appears whole and durable when the block ends without error.

        It replaces what has its name, unless `create`: then FileExistsError is raised at the end
        of the block if an object has appeared. Room for `size_bytes`, the exact size if given, is
        reserved before the block begins.
        """

    def use(self, kind: Kind, name: str, used_ns: int) -> bool:
        """Note a use at this time; return False if the object is absent.

        The entry's `used_ns` becomes later in any case: `delete` recognizes the use by that. An
        object counts as used when it is written.
        """

    def delete(self, kind: Kind, name: str, unused_since_ns: int | None = None) -> bool:
        """Remove an object, unless it was used after the given time; return whether it did."""

    def lock(self, kind: Kind, name: str = "") -> AbstractContextManager[None]:
        """Wait for every other process and thread in such a block, for this name or this kind.

        A backend without locks lets all in: the same work may then be done twice.
        """

    def unfinished_bytes(self, kind: Kind) -> int:
        """Return the size of the objects being written; remove those whose writer has died."""

    def discard_unfinished(self, before_ns: int) -> None:
        """Remove what interrupted writers of any kind left before this time."""

    def check_writable(self) -> None:
        """Write PROBE_BYTES durably, and remove them."""


def put(
    store: Store,
    kind: Kind,
    name: str,
    pieces: Iterable[bytes | memoryview],
    *,
    create: bool = False,
) -> None:
    """Write the object that `pieces` form. Raises OSError; FileExistsError as `Store.writing`."""
    with store.writing(kind, name, create=create) as write:
        for piece in pieces:
            write(piece)
