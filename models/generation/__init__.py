"""Generation of bytes from a plan: any range of any tensor or file."""
