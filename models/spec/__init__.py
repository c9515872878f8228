"""The spec: its schema, limits, and faults with their place in it."""
