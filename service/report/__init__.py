"""Reports: HTML pages of checkpoints for people."""
