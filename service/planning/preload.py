"""Imported where workers are forked from, before transformers, which imports torchvision.

A build of torchvision for another torch would fail then, and the server of all workers with it.
Besides, what reads files is imported once for all workers, which replace it while they build.
"""

from __future__ import annotations

from seedpoint.models.architectures.optional_libraries import load_torchvision
from seedpoint.models.architectures.pretrained_weights import import_readers

load_torchvision()
import_readers()
