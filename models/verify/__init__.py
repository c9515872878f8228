"""Verification: an untrusted file, read defensively and compared with its own plan."""
