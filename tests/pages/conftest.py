"""Fixtures for cards and site."""

from hostile_index import entry, lock, measured

__all__ = ["entry", "lock", "measured"]
