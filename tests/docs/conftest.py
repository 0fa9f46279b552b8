"""Fixtures for the built site and the browser."""

from conftest_docs import browser, open_page, site

__all__ = ["browser", "open_page", "site"]
