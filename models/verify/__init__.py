"""Verification: a stranger's file read with suspicion, and compared with its own plan."""
