"""What is computed from a checkpoint's values: statistics and digests, in one pass."""
