"""Rules: the choice of an initializer for each tensor, and its resolution there."""
