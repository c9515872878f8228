"""Thin: HTTP, worker processes and storage around `models`."""
