"""What the tests of imagenet share."""

import secrets

import pytest


@pytest.fixture
def fresh_seed():
    """Give a seed that no run had before; a failure shows it, so that it can be run again."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return seed
