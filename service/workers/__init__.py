"""Worker processes that can be ended at any time."""
