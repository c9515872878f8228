"""Checkpoint as a torch.distributed.checkpoint directory: chunks, files, offsets, `.metadata`.

Every offset follows from dtypes and shapes, so no values are computed here.
"""
