"""Names of presets, and the ids on the Hub that stand for them."""

from __future__ import annotations

import pytest

from seedpoint.models import presets


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("gpt2", "gpt2"),
        ("openai-community/gpt2", "gpt2"),
        ("google-bert/bert-base-uncased", "bert-base"),
        ("bert-base-uncased", "bert-base"),
        ("google-bert/BERT-base-cased", "bert-base-cased"),
    ],
)
def test_a_preset_is_known_by_its_name_and_its_id(name: str, preset: str) -> None:
    assert presets.resolve(name) == preset
    assert presets.spec(name)["architecture"]["name"] == preset


@pytest.mark.parametrize("name", presets.names())
def test_a_name_of_a_preset_is_that_preset(name: str) -> None:
    assert presets.resolve(name) == name


def test_an_id_that_only_small_presets_resemble_names_these() -> None:
    with pytest.raises(presets.UnknownPreset, match="presets of its shape: 'codegen-tiny'"):
        presets.resolve("Salesforce/codegen-350M-mono")


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("torchvision/resnet50", "did you mean resnet-50"),
        ("someone/gpt2_xl", "did you mean gpt2-xl"),
    ],
)
def test_an_unknown_owner_leads_to_presets_of_the_name(name: str, like: str) -> None:
    with pytest.raises(presets.UnknownPreset, match=like):
        presets.resolve(name)


def test_a_misspelled_id_leads_to_ids() -> None:
    with pytest.raises(presets.UnknownPreset, match="did you mean openai-community/gpt2"):
        presets.resolve("openai-comunity/gpt2")
