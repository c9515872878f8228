"""Statistics: what a checkpoint's values are, beside what its programs promise."""
