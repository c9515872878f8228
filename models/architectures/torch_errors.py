"""Exceptions by which torch refuses arguments, and their messages."""

from __future__ import annotations

# Exceptions of torch's constructors, registrations and shape rules for wrong arguments.
TORCH_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError),
    *(RuntimeError, TypeError, ValueError),
)


def message_of(error: BaseException) -> str:
    """Return the first line of torch's message, without the quotes that a KeyError adds.

    The message of a recorder that runs under a constructor gets no `torch: ` prefix.
    """
    text = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    lines = text.strip().splitlines()
    if not lines:
        return f"torch refuses this ({type(error).__name__})"
    if isinstance(error, KeyError) and " " not in lines[0]:  # a bare key explains nothing
        return f"torch: unknown key {lines[0]!r}"
    ours = type(error).__module__.startswith("seedpoint.models.")
    return lines[0] if ours else f"torch: {lines[0]}"
