"""Measure what users wait for, each beside what they would use instead; see `python -m benchmarks --help`."""
