"""The plan that a file's header states, read without trust in either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seedpoint.models.files.layout import Layout
from seedpoint.models.plan.describe import layout
from seedpoint.models.plan.plan import Plan
from seedpoint.models.verify.header import FileFault, load_json, metadata_alone, parse, shown
from seedpoint.models.verify.soundness import check_plan

ID, SPEC, PLAN = "seedpoint.id", "seedpoint.spec", "seedpoint.plan"

LONG_BYTES = 4 << 20
"""What a header may have to be parsed whole before it is known to be its plan's."""

_EXACT = 2**53
_NOT_OURS = "not written by Seedpoint: its header has no seedpoint metadata"
_TOO_DEEP = f"{SPEC} or {PLAN} nests too deep"


class NoPlan(FileFault):
    """A file of Seedpoint whose checkpoint's plan is in another file: the first shard."""


def metadata_of(head: bytes, size_bytes: int) -> Mapping[str, str]:
    """The metadata of a file's header, from which `stated` has the plan.

    Of a header longer than LONG_BYTES nothing else is read, and nothing at all of one that
    does not have `seedpoint.id` in it: to parse it could take twenty times its length.
    Raises FileFault.
    """
    if len(head) <= LONG_BYTES:
        return parse(head, size_bytes).metadata
    if not any(b'"%s"' % key.encode() in head for key in (ID, SPEC, PLAN)):
        raise FileFault(_NOT_OURS)
    return metadata_alone(head)


def stated(metadata: Mapping[str, str]) -> tuple[Plan, Layout]:
    """The plan that `metadata` holds, whose SHA-256 is the id it holds, and its files.

    Whoever writes the whole of a header can write a plan and its id to match: what this
    proves is that the two belong together, and that the plan can be evaluated.
    Raises FileFault.
    """
    if not any(key in metadata for key in (ID, SPEC, PLAN)):
        raise FileFault(_NOT_OURS)
    if ID in metadata and not (SPEC in metadata or PLAN in metadata):
        raise NoPlan(f"one shard of checkpoint {shown(metadata[ID])}, and not the first")
    if missing := [key for key in (ID, SPEC, PLAN) if key not in metadata]:
        raise FileFault(f"its header has no {missing[0]}")
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


def _plan(document: Mapping[str, Any]) -> tuple[Plan, Layout]:
    """Raises FileFault for what is no plan, or cannot be laid out or evaluated."""
    try:
        plan = Plan.from_json(document)
    except KeyError as error:
        raise FileFault(
            f"{PLAN} is no plan: {shown(error.args[0])} is missing or unknown"
        ) from None
    except (AttributeError, IndexError, OverflowError, TypeError, ValueError) as error:
        raise FileFault(f"{PLAN} is no plan: {error}") from None
    except RecursionError:
        raise FileFault(_TOO_DEEP) from None
    try:
        check_plan(plan)
        return plan, layout(plan)
    except ValueError as error:
        raise FileFault(f"{PLAN} cannot be: {error}") from None
    except RecursionError:
        raise FileFault(_TOO_DEEP) from None


def _integer(digits: str) -> int | float:
    """RFC 8785 numbers are doubles: one beyond 2^53 is a double that happens to be whole."""
    value = float(digits)
    return int(digits) if abs(value) < _EXACT else value
