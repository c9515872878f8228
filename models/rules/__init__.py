"""Rules: which initializer for which tensor, and what it resolves to there."""
