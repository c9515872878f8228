"""Imported where workers are forked from, before transformers, which imports torchvision.

A build of torchvision for another torch would fail then, and the server of all workers with it.
"""

from __future__ import annotations

from models.architectures.extras import load_torchvision

load_torchvision()
