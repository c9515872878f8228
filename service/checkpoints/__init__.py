"""Issued checkpoints by id, and Hub revisions by name."""
