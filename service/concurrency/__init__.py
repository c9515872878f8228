"""Shared and bounded work: single flight, admission, budgets and caches."""
