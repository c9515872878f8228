"""Spec: its schema and its limits."""
