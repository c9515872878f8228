"""Flows: what the client does, as generators that leave input and output to a driver.

A flow yields effects (`effects.py`) and receives their results, so that one flow serves both
clients: `Driver` and `AsyncDriver` differ in how they perform an effect.
"""
