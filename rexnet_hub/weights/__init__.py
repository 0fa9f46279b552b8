"""Fetch, parse, convert and digest checkpoint files."""
