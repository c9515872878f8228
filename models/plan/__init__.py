"""Plan: the canonical JSON that fixes every byte of a checkpoint."""
