"""Fields of a spec that are blamed, and what of a server's path is shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from seedpoint.service.planning.fault_location import blamed

PLACES: list[tuple[Callable[[str], str], str, str]] = [
    (lambda name: f"local-dir:{name}", "/srv/models/config.json", "/srv/models/config.json"),
    (lambda name: name, "/srv/models", "/srv/models"),
    (lambda name: name, "/root/.cache/srv/models/x", "x"),
    (lambda name: name, "/srv/models/private/of/the/server", "server"),
    (lambda name: name, "/srv/models-of-the-server/x", "x"),
]


@pytest.mark.parametrize(("form", "target", "shown"), PLACES)
def test_the_field_that_names_a_file_is_blamed(
    form: Callable[[str], str], target: str, shown: str
) -> None:
    config = {"model_type": "detr", "backbone_config": {"backbone": form("/srv/models")}}
    document = {"architecture": {"type": "transformers", "config": config}}
    place = "architecture.config.backbone_config.backbone"
    assert blamed(document, target, "architecture") == (place, shown)


def test_what_no_field_names_is_told_without_the_server_s_folders() -> None:
    document = {"architecture": {"type": "timm", "model": "resnet18", "args": {"x": ["a", 1]}}}
    found = blamed(document, "/home/somebody/weights.bin", "architecture.model")
    assert found == ("architecture.model", "weights.bin")
    document = {"architecture": {"config": {"backbone": "hf-hub:owner/name"}}}
    found = blamed(document, "/home/somebody/models--owner--name/refs/main", "architecture")
    assert found == ("architecture.config.backbone", "main")
    assert blamed("no object", "huggingface.co", "architecture") == (
        "architecture",
        "huggingface.co",
    )


def test_the_beginning_of_a_path_does_not_show_the_rest_of_it() -> None:
    for name in ("/ho", "/home", "/home/some"):
        document = {"architecture": {"type": "timm", "model": name}}
        found = blamed(document, "/home/somebody/.cache/weights.bin", "architecture")
        assert found == ("architecture.model", "weights.bin")
