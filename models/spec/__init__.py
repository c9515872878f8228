"""Spec: its schema, its limits, and faults with their place in it."""
