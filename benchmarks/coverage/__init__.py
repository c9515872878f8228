"""Coverage of other libraries' models by recording: `python -m benchmarks.coverage`."""
