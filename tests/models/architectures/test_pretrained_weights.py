"""Readers of trained weights, which are replaced module by module."""

from __future__ import annotations

import pytest
import safetensors.torch

from seedpoint.models.architectures import pretrained_weights
from seedpoint.models.architectures.pretrained_weights import OnlineError, never_loaded


@pytest.mark.parametrize("missing", ["safetensors.gone", "safetensors.torch.gone"])
def test_a_missing_module_leaves_the_other_readers_of_its_library_replaced(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = {missing: ("load",), **pretrained_weights.READERS}
    monkeypatch.setattr(pretrained_weights, "READERS", readers)
    with pytest.raises(OnlineError, match=r"would load 'weights\.safetensors'"), never_loaded():
        safetensors.torch.load_file("weights.safetensors")
