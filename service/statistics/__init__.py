"""Statistics and digests of a checkpoint's values, computed in one pass."""
