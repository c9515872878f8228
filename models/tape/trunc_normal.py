"""Recognition of timm's `trunc_normal_`, five pointwise steps on a uniform draw, as one source."""

from __future__ import annotations

import math
from collections.abc import Mapping

from seedpoint.models.draws import TruncNormal
from seedpoint.models.plan.program import Scalar
from seedpoint.models.tape.value_graph import Made, Mapped, Value

# steps from last to first; `timm.layers.weight_init._trunc_normal_` runs them in reverse
_STEPS = ("clamp", "add", "mul", "erfinv")
_SLACK = 1e-12  # tolerance: the bounds of the uniform draw are binary64 results


def truncated_normal(value: Mapped) -> tuple[Made, TruncNormal] | None:
    """Return the uniform draw under `value` and the source it forms; None for any other value.

    The steps are uniform_(2 Phi(alpha) - 1, 2 Phi(beta) - 1), erfinv_, mul_(std sqrt(2)),
    add_(mean), clamp_(a, b), where alpha = (a - mean) / std and beta = (b - mean) / std. Any other
    number in a step makes it a different distribution.
    """
    numbers: list[Mapping[str, Scalar | None]] = []
    inner: Value = value
    for step in _STEPS:
        if not isinstance(inner, Mapped) or inner.function != step:
            return None
        numbers.append(dict(inner.arguments))
        inner = inner.operand
    if not isinstance(inner, Made) or inner.operation.name != "aten.uniform_.default":
        return None
    clamp, add, mul, _ = numbers
    given = (add.get("other"), mul.get("other"), clamp.get("min"), clamp.get("max"))
    if add.get("alpha", 1) != 1:
        return None
    mean, scale, a, b = (float(x) if isinstance(x, int | float) else math.nan for x in given)
    if not scale > 0 or not a < b or math.isnan(mean):
        return None
    std = _std(scale)
    bounds = inner.operation.args[1:]
    low, high = map(float, (*bounds, *(0.0, 1.0)[len(bounds) :]))
    if not _is_bound(low, a, mean, std) or not _is_bound(high, b, mean, std):
        return None
    try:
        return inner, TruncNormal.of(mean, std, a, b)
    except ValueError:
        return None


def _is_bound(uniform: float, bound: float, mean: float, std: float) -> bool:
    """Return whether a bound of the uniform draw is 2 Phi((bound - mean) / std) - 1."""
    return abs(uniform - math.erf((bound - mean) / std / math.sqrt(2))) <= _SLACK


def _std(scale: float) -> float:
    """Return the std for which std * sqrt(2) is `scale`; among several, the shortest to write."""
    about = scale / math.sqrt(2)
    near = [about, math.nextafter(about, 0), math.nextafter(about, math.inf)]
    exact = [std for std in near if std * math.sqrt(2) == scale] or near[:1]
    return min(exact, key=lambda std: len(repr(std)))
