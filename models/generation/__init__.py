"""From a plan to bytes: any range of any tensor or file."""
