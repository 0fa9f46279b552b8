"""Fetch, read safely, convert, digest."""
