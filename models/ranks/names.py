"""Names of a module's tensors, and the checkpoint's names for them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from string import Formatter

from seedpoint.models.plan.plan import Plan
from seedpoint.models.rules.globs import captured, captures, compile_glob

Rename = Mapping[str, str] | Callable[[str], str]

WRAPPERS = frozenset({"_orig_mod", "_checkpoint_wrapped_module"})
"""Segments that `torch.compile` and activation checkpointing add to names."""

WRAPPER_OR_CHILD = "module"
"""Segment that DistributedDataParallel adds, and that a module may also give a child."""

MAX_COMPARED_NAMES = 5_000  # names compared for a "did you mean" hint


@dataclass(frozen=True)
class Names:
    """Translation of a module's names into those of a checkpoint, `known`.

    Wrappers' segments are removed, `prefix` is put in front, and `rename` translates the result: a
    function, or a mapping of globs (`layers.{n}.wq.weight`) to names with the same captures.
    """

    known: frozenset[str]
    prefix: str = ""
    rename: Rename | None = None
    _patterns: tuple[tuple[str, str], ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        prefix = f"{self.prefix.rstrip('.')}." if self.prefix else ""
        object.__setattr__(self, "prefix", prefix)
        if isinstance(self.rename, Mapping):
            object.__setattr__(self, "_patterns", tuple(self.rename.items()))
        for pattern, target in self._patterns:
            if unknown := [name for name in _fields(target) if name not in captures(pattern)]:
                raise ValueError(
                    f"rename: {target!r} uses {{{unknown[0]}}}, which {pattern!r} does not capture"
                )

    def find(self, name: str) -> str | None:
        """Return the checkpoint's name for the module's tensor `name`, None if it has none."""
        segments = [segment for segment in name.split(".") if segment not in WRAPPERS]
        bare = [segment for segment in segments if segment != WRAPPER_OR_CHILD]
        for candidate in (segments, segments[segments[0] == WRAPPER_OR_CHILD :], bare):
            found = self._renamed(self.prefix + ".".join(candidate))
            if found in self.known:
                return found
        return None

    def asked(self, name: str) -> str:
        """Return the name that is looked up for `name`, for messages."""
        segments = [segment for segment in name.split(".") if segment not in WRAPPERS]
        return self._renamed(self.prefix + ".".join(segments))

    def covers(self, name: str) -> bool:
        """Return whether a tensor of the checkpoint belongs to the module, as far as is known.

        With both a prefix and a `rename`, only the caller knows.
        """
        if not self.prefix:
            return True
        return self.rename is None and name.startswith(self.prefix)

    def _renamed(self, name: str) -> str:
        if self.rename is None:
            return name
        if not isinstance(self.rename, Mapping):
            return self.rename(name)
        for pattern, target in self._patterns:
            if (found := compile_glob(pattern).fullmatch(name)) is not None:
                return target.format_map(captured(found))
        return name


def _fields(target: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(target) if name is not None]


class TensorNumbers:
    """Numbers of a plan's tensors by each of their names."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    @cached_property
    def by_name(self) -> Mapping[str, int]:
        """Number of the tensor under each name, aliases included."""
        return {
            name: number
            for number, tensor in enumerate(self._plan.tensors)
            for name in (tensor.name, *tensor.aliases)
        }

    def find(self, name: str) -> int:
        """Return the number of the tensor called `name`.

        Raises:
            KeyError: The plan has no tensor of this name.
        """
        if name not in self.by_name:
            raise KeyError(
                f"no tensor {name!r} in checkpoint {self._plan.id[:12]}"
                + did_you_mean(name, self.by_name)
            )
        return self.by_name[name]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a clause that names the nearest of `names`, empty if none is near."""
    compared = list(names)[:MAX_COMPARED_NAMES]
    near = difflib.get_close_matches(name, compared, n=1, cutoff=0.8)
    return f"; did you mean {near[0]!r}?" if near else ""
