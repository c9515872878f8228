"""How many models of other libraries are recorded right: `python -m benchmarks.coverage`."""
