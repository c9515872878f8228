"""Defensive reader for safetensors headers from untrusted sources.

The rules of the format are checked here in the order in which a reader depends on them; the first
fault is reported in one line. The bytes of tensors are not read.

Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NoReturn

from seedpoint.models.dtypes import BY_CODE
from seedpoint.models.files.layout import MAX_FILE_BYTES, MAX_HEADER_BYTES, METADATA_KEY
from seedpoint.models.validation.regular_expressions import possessive

# length field at the start of a file, in bytes
LENGTH_BYTES = 8
MAX_DIMENSIONS = 64  # the most that torch's TensorIterator takes

# limit on lists and objects: a tensor needs three in at least 49 bytes of header, and Python takes
# up to 80 bytes of memory for each
MAX_CONTAINERS = MAX_HEADER_BYTES // 16

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# An unterminated string runs to the end; otherwise each of its quotes would be tried as a
# beginning. Possessive, because a backtracking match would remember its positions.
STRING_OR_OPENING = re.compile(possessive(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{]+'), re.DOTALL)
# A quote inside a string is escaped, so it never follows a comma or a brace alone.
_METADATA = re.compile(rb'[{,][ \t\n\r]*"%s"[ \t\n\r]*:[ \t\n\r]*' % METADATA_KEY.encode())
_BLANK = r"[ \t\n\r]*+"
_STRING = r'"(?:[^"\\]++|\\.)*+"'
_STRINGS = re.compile(
    possessive(
        rf"\{{(?:{_BLANK}{_STRING}{_BLANK}:{_BLANK}{_STRING}{_BLANK},?+){{0,{MAX_CONTAINERS}}}+"
        rf"{_BLANK}\}}"
    ).encode(),
    re.DOTALL,
)
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 80


class FileFault(ValueError):
    """File that contradicts its header, or whose header is unsound."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Tensor in a header: bytes [start_byte, stop_byte) after the header.

    `dtype` is the header's code (`BF16`).
    """

    dtype: str
    shape: tuple[int, ...]
    start_byte: int
    stop_byte: int


@dataclass(frozen=True, slots=True)
class Header:
    """Contents of a header: `metadata`, and the tensors by name in the order of their bytes."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, Stored]


def head_bytes(prefix: bytes, size_bytes: int) -> int:
    """Return the length of a file's header, length field included, from the file's first 8 bytes.

    `size_bytes` is the file's size.

    Raises:
        FileFault: The file is too short, or the header too long; nothing is read or allocated.
    """
    if size_bytes < LENGTH_BYTES or len(prefix) < LENGTH_BYTES:
        raise FileFault(
            f"not a safetensors file: it has {min(size_bytes, len(prefix))} bytes, and the "
            f"length of its header alone would take {LENGTH_BYTES}"
        )
    length = int.from_bytes(prefix[:LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise FileFault(
            f"not a safetensors file: its header would have {length:,} bytes, and at most "
            f"{MAX_HEADER_BYTES:,} are allowed"
        )
    if LENGTH_BYTES + length > size_bytes:
        raise FileFault(
            f"truncated, or not a safetensors file: its header would have {length:,} bytes, and "
            f"the file has {size_bytes:,} in all"
        )
    return LENGTH_BYTES + length


def parse(head: bytes, size_bytes: int) -> Header:
    """Parse `head`, a header with its length field, of a file of `size_bytes`.

    Raises:
        FileFault: The header violates the format, which also asks that the tensors fill the file
            side by side.
    """
    try:
        text = head[LENGTH_BYTES:].decode()
    except UnicodeDecodeError as error:
        raise FileFault(f"its header is not UTF-8 at byte {LENGTH_BYTES + error.start}") from None
    document = load_json(text, "its header", _header_integer)
    if not isinstance(document, dict):
        raise FileFault("its header is not a JSON object")
    metadata = document.pop(METADATA_KEY, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FileFault(f"{METADATA_KEY} in its header is not an object of strings")
    tensors = {name: _stored(name, entry) for name, entry in document.items()}
    ordered = sorted(tensors.items(), key=lambda item: (item[1].start_byte, item[1].stop_byte))
    _check_offsets(ordered, size_bytes - len(head))
    return Header(metadata, dict(ordered))


def metadata_alone(head: bytes) -> Mapping[str, str]:
    """Return the metadata of `head` without parsing the tensors; empty if it has none.

    This serves long headers, which would take much memory to parse. `head` may not be a header at
    all: the caller finds out by comparing it with the header that the metadata implies.

    Raises:
        FileFault: The metadata is not an object of strings, or not UTF-8.
    """
    if (member := _METADATA.search(head, LENGTH_BYTES)) is None:
        return {}
    if (found := _STRINGS.match(head, member.end())) is None:
        raise FileFault(f"{METADATA_KEY} in its header is not an object of strings")
    try:
        text = found[0].decode()
    except UnicodeDecodeError as error:
        at = found.start() + error.start
        raise FileFault(f"its header is not UTF-8 at byte {at}") from None
    metadata: dict[str, str] = load_json(text, METADATA_KEY, _header_integer)
    return metadata


def load_json(text: str, what: str, parse_int: Callable[[str], int | float]) -> Any:
    """Parse the JSON document `text`, called `what` in errors.

    The parser is strict: no duplicate members (readers differ in which one counts), no NaN or
    Infinity, no half of a surrogate pair. A text that would take memory out of proportion to its
    length is refused before it is parsed.

    Raises:
        FileFault: The text violates one of these rules, or JSON.
    """
    if _has_many_containers(text):
        raise FileFault(f"{what} has more than {MAX_CONTAINERS:,} lists and objects")
    try:
        document = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=parse_int
        )
        if _SURROGATE.search(text):
            json.dumps(document, ensure_ascii=False).encode()
    except _MemberTwice as error:
        raise FileFault(f"{what} has {error} twice in one object") from None
    except UnicodeEncodeError:
        raise FileFault(f"{what} has half of a surrogate pair, which is not a character") from None
    except json.JSONDecodeError as error:
        message = error.msg.lower().removesuffix(" at")
        raise FileFault(f"{what} is not JSON: {message} at {error.pos}") from None
    except RecursionError:
        raise FileFault(f"{what} nests too deep") from None
    except ValueError as error:
        raise FileFault(f"{what} is not JSON: {error}") from None
    return document


def shown(value: object) -> str:
    """Return an untrusted value for a message: one line, printable and short."""
    return _BRIEF.repr(value)


def _has_many_containers(text: str) -> bool:
    """Return whether a JSON text has more lists and objects than MAX_CONTAINERS."""
    if text.count("[") + text.count("{") <= MAX_CONTAINERS:
        return False
    runs = (
        match.end() - match.start()
        for match in STRING_OR_OPENING.finditer(text)
        if text[match.start()] != '"'
    )
    return any(count > MAX_CONTAINERS for count in accumulate(runs))


class _MemberTwice(ValueError):
    pass


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(members)
    if len(document) < len(members):
        seen: set[str] = set()
        for name, _ in members:
            if name in seen:
                raise _MemberTwice(shown(name))
            seen.add(name)
    return document


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _header_integer(digits: str) -> int:
    if len(digits) > len(str(MAX_FILE_BYTES)):
        raise ValueError(f"{digits[:20]}... is beyond 64 bits")
    return int(digits)


def _stored(name: str, entry: Any) -> Stored:
    """Return the tensor `name` as described by `entry`.

    Raises:
        FileFault: A header may not contain this entry.
    """
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise FileFault(f"{shown(name)} in its header is not {{dtype, shape, data_offsets}}")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in BY_CODE:
        raise FileFault(
            f"{shown(name)}: {shown(code)} is not a dtype; dtypes: {', '.join(BY_CODE)}"
        )
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        raise FileFault(f"{shown(name)}: {shown(shape)} is not a shape")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise FileFault(f"{shown(name)}: {shown(offsets)} are not data_offsets")
    start, stop = offsets
    if (fault := BY_CODE[code].shape_fault(tuple(shape))) is not None:
        raise FileFault(f"{shown(name)}: {fault}")
    expected = BY_CODE[code].nbytes(math.prod(shape))
    if stop - start != expected:
        raise FileFault(
            f"{shown(name)}: its data_offsets {start}, {stop} are {stop - start} bytes apart, "
            f"and {code} of shape {shown(shape)} takes {shown(expected)}"
        )
    return Stored(code, tuple(shape), start, stop)


def _are_sizes(value: Any) -> bool:
    """Return whether `value` is a list of integers from 0 to 2^63 - 1."""
    return isinstance(value, list) and all(
        type(item) is int and 0 <= item <= MAX_FILE_BYTES for item in value
    )


def _check_offsets(ordered: Sequence[tuple[str, Stored]], data_bytes: int) -> None:
    """Check that the tensors fill `data_bytes` side by side.

    Raises:
        FileFault: They overlap, leave a gap, or do not end with the file.
    """
    if (fault := next(_faults(ordered, data_bytes), None)) is not None:
        raise FileFault(fault)


def _faults(ordered: Sequence[tuple[str, Stored]], data_bytes: int) -> Iterator[str]:
    stop, before = 0, ""
    for name, entry in ordered:
        if entry.start_byte < stop:
            yield (
                f"{shown(name)} and {shown(before)} overlap: one begins at byte "
                f"{entry.start_byte} after the header, the other ends at {stop}"
            )
        if entry.start_byte > stop:
            yield f"bytes {stop} to {entry.start_byte} after the header belong to no tensor"
        if entry.stop_byte > data_bytes:
            yield (
                f"truncated: {shown(name)} ends at byte {entry.stop_byte} after the header, and "
                f"the file at {data_bytes}"
            )
        stop, before = entry.stop_byte, name
    if stop < data_bytes:
        yield f"padded: {data_bytes - stop} bytes after its last tensor belong to none"
