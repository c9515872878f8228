"""Inputs for any model of transformers, the same at every call."""

from __future__ import annotations

from typing import Any

import torch


def inputs(model: Any) -> dict[str, torch.Tensor]:
    """Return random arguments of `model.forward`."""
    generator = torch.Generator()
    generator.manual_seed(0)
    config, main = model.config, model.main_input_name
    words = min(90, getattr(config.get_text_config(), "vocab_size", 90))
    tokens = torch.randint(5, words, (2, 24), generator=generator)
    vision = getattr(config, "vision_config", config)
    size = getattr(vision, "image_size", None) or 64
    size = [size, size] if isinstance(size, int) else size
    pixels = torch.randn(2, getattr(vision, "num_channels", 3), *size, generator=generator)
    if config.model_type in ("clip", "siglip", "blip"):
        return {"input_ids": tokens[:, :16], "pixel_values": pixels}
    if main == "pixel_values":
        return {main: pixels}
    if main == "input_features":
        frames = 2 * config.max_source_positions
        sound = torch.randn(2, config.num_mel_bins, frames, generator=generator)
        return {main: sound, "decoder_input_ids": tokens[:, :10]}
    if main == "input_values":
        return {main: torch.randn(2, 4000, generator=generator)}
    more = {"decoder_input_ids": tokens[:, :10]} if config.is_encoder_decoder else {}
    return {main: tokens, **more}


def outputs(model: Any) -> list[torch.Tensor]:
    """Return all tensors that the model computes from `inputs`."""
    model.eval()
    with torch.no_grad():
        result = model(**inputs(model))
    return [value for value in result.values() if isinstance(value, torch.Tensor)]
