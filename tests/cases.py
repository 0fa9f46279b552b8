"""Cases of a parametrised test."""

import pytest


def slow(*values):
    """Mark a case that another case shows in the main: the slow tests run it."""
    return pytest.param(*values, marks=pytest.mark.slow)
