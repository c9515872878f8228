"""Models of Hugging Face transformers, by their config: never remote code, never a download."""

from seedpoint.models.architectures.huggingface.schema import Transformers

__all__ = ["Transformers"]
