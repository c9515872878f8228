"""Models of timm and torchvision, by name: built from arguments, never with trained weights."""

from seedpoint.models.architectures.vision.schema import Timm, Torchvision

__all__ = ["Timm", "Torchvision"]
