"""`state_dict` and `tensor`."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import seedpoint

Whole = dict[str, torch.Tensor]


def test_a_state_dict_has_every_name_and_ties(
    checkpoint: seedpoint.Checkpoint, whole: Whole
) -> None:
    state = seedpoint.state_dict(checkpoint)
    assert state.keys() == whole.keys()
    assert all(torch.equal(state[name], whole[name]) for name in whole)
    assert state["head.weight"] is state["tokens.weight"]


@pytest.mark.parametrize(
    "index",
    [(), ..., 3, -1, slice(2, 9), (slice(None), 5), (..., slice(-3, None)), (4, slice(1, 7, 2))],
)
def test_an_index_gives_what_it_gives_of_the_whole(
    checkpoint: seedpoint.Checkpoint, whole: Whole, index: Any
) -> None:
    for name in ("tokens.weight", "head.weight", "square.weight"):
        assert torch.equal(seedpoint.tensor(checkpoint, name, index), whole[name][index])


def test_a_scalar_has_an_index_of_nothing(checkpoint: seedpoint.Checkpoint) -> None:
    assert seedpoint.tensor(checkpoint, "norm.num_batches_tracked").item() == 0


@pytest.mark.parametrize(
    ("name", "index", "error", "words"),
    [
        ("token.weight", (), KeyError, "no tensor 'token.weight'.*did you mean 'tokens.weight'"),
        ("tokens.weight", 50, IndexError, "index 50 is outside the axis, which has 50 elements"),
        ("tokens.weight", slice(0, 51), IndexError, "axis 0: 0:51 is outside the axis"),
        ("tokens.weight", (0, slice(-25, None)), IndexError, "axis 1: -25: is outside the axis"),
        ("tokens.weight", slice(None, None, 0), ValueError, "step must be 1 or more, not 0"),
        ("tokens.weight", slice(None, None, -1), ValueError, "step must be 1 or more, not -1"),
        ("tokens.weight", (0, 0, 0), IndexError, "3 members for 2 axes"),
        ("tokens.weight", (..., ...), IndexError, "one ellipsis"),
        ("tokens.weight", [1], TypeError, "list is neither an integer"),
        ("tokens.weight", True, TypeError, "bool is neither an integer"),
    ],
)
def test_what_is_not_in_the_checkpoint_is_refused(
    checkpoint: seedpoint.Checkpoint, name: str, index: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        seedpoint.tensor(checkpoint, name, index)
