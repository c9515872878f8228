"""Preload of the fork server: torchvision, before transformers imports it.

A torchvision built for another torch would otherwise fail there and end the fork server. The
readers of files are also imported once for all workers, which replace them while they build.
"""

from __future__ import annotations

from seedpoint.models.architectures.optional_libraries import load_torchvision
from seedpoint.models.architectures.pretrained_weights import import_readers
from seedpoint.service.workers import forkserver

load_torchvision()
import_readers()
forkserver.end_at_once_as_server()
