"""Measurements as JSON: `python -m benchmarks`."""
