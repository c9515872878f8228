"""Ranks: the elements of a checkpoint that one process holds, filled in its own memory."""
