"""The random stream `philox-v1`: every value a function of (key, draw, element index)."""
