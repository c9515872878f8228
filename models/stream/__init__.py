"""Random stream `philox-v1`: every value is a function of (key, draw, element index)."""
