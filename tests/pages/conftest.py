"""Fixtures for cards and site."""

from conftest_pages import entry, lock, measured

__all__ = ["entry", "lock", "measured"]
