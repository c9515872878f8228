"""Thin layer of HTTP, worker processes and storage around `models`."""
