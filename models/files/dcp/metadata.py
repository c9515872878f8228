"""`.metadata` of a directory: names, chunks and the files that hold them, pickled."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from seedpoint.models.files.dcp.archive import archive
from seedpoint.models.files.dcp.directory import DcpDirectory, chunk_file_name

if TYPE_CHECKING:
    from torch.distributed.checkpoint.metadata import STORAGE_TYPES, MetadataIndex

PROTOCOL = 4  # read by every Python that runs torch 2.6
VERSION = "1.0.0"  # of the format, torch's CURRENT_DCP_VERSION


def metadata(directory: DcpDirectory, save_id: str) -> bytes:
    """Return the pickled `Metadata` of torch.distributed.checkpoint.

    Its classes are those of the installed torch, so the bytes may differ between versions of it;
    every version can read them. `save_id` is the id that DCP gives each save.
    """
    # An import at the top would cost every start a second: it brings most of torch.distributed.
    import torch
    from torch.distributed.checkpoint.filesystem import _StorageInfo
    from torch.distributed.checkpoint.metadata import (
        ChunkStorageMetadata,
        Metadata,
        MetadataIndex,
        StorageMeta,
        TensorProperties,
        TensorStorageMetadata,
    )

    tensors: dict[str, STORAGE_TYPES] = {}
    stored: dict[MetadataIndex, _StorageInfo] = {}
    for index, tensor in enumerate(directory.tensors):
        names = directory.names(index)
        properties = TensorProperties(dtype=tensor.dtype.torch)
        size, chunks = torch.Size(tensor.shape), []
        for number, chunk in enumerate(directory.chunks(index)):
            listed = ChunkStorageMetadata(torch.Size(chunk.offsets), torch.Size(chunk.sizes))
            length = archive(tensor.dtype, chunk.sizes).size_bytes
            file = _StorageInfo(chunk_file_name(directory.first_file(index) + number), 0, length)
            chunks.append(listed)
            for name in names:
                stored[MetadataIndex(name, listed.offsets, number)] = file
        for name in names:
            tensors[name] = TensorStorageMetadata(properties, size, chunks)
    return pickle.dumps(
        Metadata(
            state_dict_metadata=tensors,
            planner_data={name: (name,) for name in tensors},
            storage_data=stored,
            storage_meta=StorageMeta(save_id=save_id),
            version=VERSION,
        ),
        PROTOCOL,
    )
