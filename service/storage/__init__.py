"""The store: a directory in which everything appears whole or not at all, and says what it is."""
