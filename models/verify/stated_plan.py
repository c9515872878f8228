"""Plan stated in a file's header, read without trust in either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seedpoint.models.files.layout import Layout, layout
from seedpoint.models.plan import canonical_json
from seedpoint.models.plan.plan import Plan
from seedpoint.models.verify.header import FileFault, load_json, metadata_alone, parse, shown
from seedpoint.models.verify.soundness import check_plan

ID, SPEC, PLAN = "seedpoint.id", "seedpoint.spec", "seedpoint.plan"

LONG_BYTES = 4 << 20
"""Longest header, in bytes, that is parsed whole before it is known to match its plan."""

# integers below this are exact in a double
_EXACT = 2**53
_NOT_OURS = "not written by Seedpoint: its header has no seedpoint metadata"
_TOO_DEEP = f"{SPEC} or {PLAN} nests too deep"


class NoPlan(FileFault):
    """Later shard of a Seedpoint checkpoint, whose plan is in the first shard."""


def metadata_of(head: bytes, size_bytes: int) -> Mapping[str, str]:
    """Return the metadata of a file's header, from which `stated` takes the plan.

    From a header longer than LONG_BYTES nothing else is read, and nothing at all if it has no
    Seedpoint key: parsing it could take twenty times its length in memory.

    Raises:
        FileFault: The header violates the format, or Seedpoint did not write it.
    """
    if len(head) <= LONG_BYTES:
        return parse(head, size_bytes).metadata
    if not any(b'"%s"' % key.encode() in head for key in (ID, SPEC, PLAN)):
        raise FileFault(_NOT_OURS)
    return metadata_alone(head)


def stated(metadata: Mapping[str, str]) -> tuple[Plan, Layout]:
    """Return the plan in `metadata`, whose SHA-256 is the stated id, and its files.

    Anyone who writes a whole header can write a matching plan and id. The check proves only that
    the two belong together and that the plan can be evaluated.

    Raises:
        FileFault: The metadata lacks a member, or its plan is invalid or has another id.
    """
    if not any(key in metadata for key in (ID, SPEC, PLAN)):
        raise FileFault(_NOT_OURS)
    if ID in metadata and not (SPEC in metadata or PLAN in metadata):
        raise NoPlan(f"a later shard of checkpoint {shown(metadata[ID])}")
    if missing := [key for key in (ID, SPEC, PLAN) if key not in metadata]:
        raise FileFault(f"its header lacks {missing[0]}")
    document = load_json(metadata[PLAN], PLAN, _integer)
    spec = load_json(metadata[SPEC], SPEC, _integer)
    if not isinstance(document, dict):
        raise FileFault(f"{PLAN} is not a JSON object")
    plan, files = _plan({**document, "spec": spec})
    if plan.id != metadata[ID]:
        raise FileFault(
            f"its spec or plan is not the one it was issued with: their id is {plan.id}, and "
            f"{ID} is {shown(metadata[ID])}"
        )
    return plan, files


def checked_plan(content: bytes | str | Mapping[str, Any]) -> Plan:
    """Return a plan given alone: its canonical bytes, or the JSON document that they spell.

    The check proves that the plan can be evaluated. Its id is the SHA-256 of the bytes.

    Raises:
        FileFault: The content is not a plan, or one of a newer format.
    """
    if isinstance(content, Mapping):
        return _plan(content)[0]
    text = content if isinstance(content, str) else content.decode(errors="replace")
    document = load_json(text, "the plan", _integer)
    if not isinstance(document, dict):
        raise FileFault("the plan is not a JSON object")
    plan, _ = _plan(document)
    if canonical_json.text(document) == text:  # the id is theirs, however this version writes it
        plan.__dict__.update(document=document, canonical=text.encode())
    return plan


def _plan(document: Mapping[str, Any]) -> tuple[Plan, Layout]:
    """Return the plan of `document` with its layout.

    Raises:
        FileFault: The document is not a plan, or cannot be laid out or evaluated.
    """
    try:
        plan = Plan.from_json(document)
    except KeyError as error:
        raise FileFault(
            f"{PLAN} is not a plan: {shown(error.args[0])} is missing or unknown"
        ) from None
    except (AttributeError, IndexError, OverflowError, TypeError, ValueError) as error:
        raise FileFault(f"{PLAN} is not a plan: {error}") from None
    except RecursionError:
        raise FileFault(_TOO_DEEP) from None
    try:
        check_plan(plan)
        return plan, layout(plan)
    except ValueError as error:
        raise FileFault(f"{PLAN} cannot be evaluated: {error}") from None
    except RecursionError:
        raise FileFault(_TOO_DEEP) from None


def _integer(digits: str) -> int | float:
    """Parse an integer as RFC 8785 reads it: from 2^53 on, it is a float."""
    value = float(digits)
    return int(digits) if abs(value) < _EXACT else value
