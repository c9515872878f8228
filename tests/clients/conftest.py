"""Fixtures of a checkpoint that clients load into modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.running import Running


@pytest.fixture(params=["sync", "async"])
def load(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """load_into of a client of its own: load(url, module, checkpoint, settings=, **options)."""
    from tests.support.client_modules import load_into, load_into_async

    return {"sync": load_into, "async": load_into_async}[request.param]


@pytest.fixture(scope="session")
def tied_id(service: Running) -> str:
    """Id of the checkpoint of a module with tied tensors and buffers."""
    from tests.support.client_modules import SPEC

    return str(service.issue(SPEC).json()["id"])


@pytest.fixture(scope="session")
def tied_state(service: Running, tied_id: str) -> Any:
    """Tensors of its file by name, aliases included."""
    import safetensors.torch

    content = service.http.get(f"/v1/checkpoints/{tied_id}/files/model.safetensors").content
    found = safetensors.torch.load(content)
    return found | {"lm_head.weight": found["wte.weight"]}
