"""Fixtures for the built site and the browser."""

import built_site
import pytest
from built_site import NO_BROWSER, browser, open_page, site

__all__ = ["browser", "open_page", "site"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Skip for want of a browser at one place, so that one line counts all that was not run."""
    report = yield
    if report.skipped and NO_BROWSER in str(report.longrepr):
        report.longrepr = (built_site.__file__, 1, f"Skipped: {NO_BROWSER}")
    return report
