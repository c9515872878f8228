"""The ways in which torch refuses what it is given."""

from __future__ import annotations

# What torch's constructors, registrations and shape rules raise for wrong arguments.
TORCH_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError),
    *(RuntimeError, TypeError, ValueError),
)


def message_of(error: BaseException) -> str:
    """Torch's own message: its first line, without what a KeyError adds to it.

    A recorder that runs under a constructor speaks for itself.
    """
    text = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    lines = text.strip().splitlines()
    if not lines:
        return f"torch refuses this ({type(error).__name__})"
    if isinstance(error, KeyError) and " " not in lines[0]:  # A key alone says nothing.
        return f"torch: there is no {lines[0]!r} among what it knows"
    ours = type(error).__module__.startswith("seedpoint.models.")
    return lines[0] if ours else f"torch: {lines[0]}"
