"""Slices of a tensor in the notation of the service: `0:128,:`."""

from __future__ import annotations

from typing import Union

Index = Union[str, int, slice, "tuple[int | slice, ...]"]
"""Slice as text, or as the index of an array: integers and slices of a step of 1 or more."""


def slice_text(index: Index) -> str:
    """Return an index in the notation of the service; text stays as it is.

    Raises:
        TypeError: A member of the index is neither an integer nor a slice.
    """
    if isinstance(index, str):
        return index
    members = index if isinstance(index, tuple) else (index,)
    return ",".join(map(_member, members))


def _member(member: object) -> str:
    if isinstance(member, slice):
        ends = (member.start, member.stop, member.step)
        texts = ["" if end is None else str(int(end)) for end in ends]
        return ":".join(texts[: 2 + (member.step is not None)])
    if isinstance(member, int) and not isinstance(member, bool):
        return str(member)
    raise TypeError(f"an index has integers and slices, not {member!r}")
