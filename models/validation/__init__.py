"""Validation of documents: numbers, expressions, and faults in words at their paths."""
