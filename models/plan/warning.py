"""Warnings of a plan: it can be issued, and may not be what was meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PAGE = "docs/warnings.md"

CODES: Mapping[str, str] = {
    "SP101": "A rule has no effect, because earlier rules win all its tensors.",
    "SP102": "A dtype rule wins no floating tensor; other tensors keep their dtype.",
    "SP103": "Different rules win the names of one tied tensor. Generator `philox-v1` applies the "
    "first rule; `torch` and `numpy` apply each, in the order of a script.",
    "SP104": "A `*` stays inside a segment, so a name such as `*.bias` matches only the first "
    "level, and no rule wins deeper tensors that `**.bias` would match.",
    "SP105": "An initializer of a list has no effect under `philox-v1`: each one overwrites the "
    "whole tensor, and draws have no order there. `transforms` change the values of a draw.",
    "SP106": "An axis that `fan` names in neither list counts as receptive field, in both fans. "
    '`"batch_axes": [0]` is for separate weights stacked along axis 0.',
    "SP201": "Parts of splits draw the same values, because they name one stream.",
    "SP202": "Values are expected to overflow the dtype.",
    "SP203": "A reader of safetensors does not support the dtype.",
    "SP204": "A truncated normal far in a tail has few different values, because a float32 "
    "probability is coarse there.",
    "SP205": "The bounds of `trunc_normal` are absolute, as in PyTorch, and so wide for its std "
    'that nothing is truncated. `"a": "-2 * std"` truncates at two std.',
    "SP206": "`orthogonal` fills a matrix of one row, which is only a vector of unit norm.",
    "SP207": "A rule draws over the row of `padding_idx`, as `torch.nn.init` does. The transform "
    "`zero_rows` sets it to zero.",
    "SP208": "A rule fills a normalized weight, while its norms or singular vectors keep their own "
    "init, which PyTorch computed from the values before.",
    "SP209": "Most values are so small that the dtype rounds them to zero. Draw them larger, and "
    "keep their scale in a tensor of its own, as block-scaled formats do.",
    "SP210": "A function has no finite value somewhere: the logarithm or root of a negative number "
    "is NaN, the logarithm of zero is infinite, and an exponential may overflow. All elements of a "
    "small tensor are looked at, and both ends of a large one.",
    "SP301": "A field of the architecture has no effect in its library, or another one.",
    "SP302": "Layers are equal at the start, because PyTorch clones one layer with its values. A "
    "rule gives each its own draws.",
    "SP303": "The sizes of two layers of a Sequential do not fit, so its forward pass will fail.",
}
"""Explanation of each code, which never gets another meaning."""


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """One warning: its code, the place in the spec that it concerns, and its text.

    The code is empty in plans that are older than codes.
    """

    code: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.code else self.message

    @property
    def details(self) -> dict[str, str]:
        """Return the code, the path and the page of the documentation."""
        return {"code": self.code, "path": self.path, "docs": f"{PAGE}#{self.code.lower()}"}

    def to_json(self) -> list[str]:
        """Return the form that a plan's record holds."""
        return [self.code, self.path, self.message]

    @classmethod
    def from_json(cls, value: Any) -> PlanWarning:
        """Return the warning of a record; an old one is a text alone."""
        return cls("", "", value) if isinstance(value, str) else cls(*value)
