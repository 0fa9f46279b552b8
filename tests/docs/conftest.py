"""Fixtures for the built site and the browser."""

from built_site import browser, open_page, site

__all__ = ["browser", "open_page", "site"]
