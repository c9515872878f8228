"""Names of a module and of a checkpoint."""

from __future__ import annotations

import pytest

from seedpoint.models.ranks.names import Names, did_you_mean
from seedpoint.models.rules.globs import GlobError

KNOWN = frozenset({"layers.0.q.weight", "layers.11.q.weight", "module.weight", "head.module.bias"})


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("layers.0.q.weight", "layers.0.q.weight"),
        ("_orig_mod.layers.0.q.weight", "layers.0.q.weight"),
        ("layers.0._checkpoint_wrapped_module.q.weight", "layers.0.q.weight"),
        ("module.layers.0._orig_mod.q.weight", "layers.0.q.weight"),
        ("module.weight", "module.weight"),
        ("module.module.weight", "module.weight"),
        ("head.module.bias", "head.module.bias"),
        ("layers.0.module.q.weight", "layers.0.q.weight"),
        ("layers.1.q.weight", None),
    ],
)
def test_segments_of_wrappers_are_removed(name: str, found: str | None) -> None:
    assert Names(KNOWN).find(name) == found


@pytest.mark.parametrize("prefix", ["layers.0", "layers.0."])
def test_a_prefix_is_the_place_of_the_module(prefix: str) -> None:
    names = Names(KNOWN, prefix)
    assert names.find("q.weight") == "layers.0.q.weight"
    assert [name for name in sorted(KNOWN) if names.covers(name)] == ["layers.0.q.weight"]


def test_globs_with_captures_and_functions_rename() -> None:
    names = Names(
        KNOWN, rename={"blocks.{n}.wq.weight": "layers.{n}.q.weight", "w": "module.weight"}
    )
    assert names.find("blocks.11.wq.weight") == "layers.11.q.weight"
    assert names.find("_orig_mod.w") == "module.weight"
    assert names.find("layers.0.q.weight") == "layers.0.q.weight"
    function = Names(KNOWN, "blocks", lambda name: name.replace("blocks", "layers"))
    assert function.find("0.q.weight") == "layers.0.q.weight"


def test_a_bad_rename_is_refused() -> None:
    with pytest.raises(GlobError):
        Names(KNOWN, rename={"a.{0}": "b"}).find("a")
    with pytest.raises(ValueError, match=r"'layers.\{m\}.weight' uses \{m\}, which 'w.\{n\}' does"):
        Names(KNOWN, rename={"w.{n}": "layers.{m}.weight"})


def test_the_nearest_name_is_named() -> None:
    assert did_you_mean("layers.0.q.wieght", KNOWN) == "; did you mean 'layers.0.q.weight'?"
    assert did_you_mean("zzz", KNOWN) == ""
