"""The store: a directory of files that are written atomically and checked when read."""
